"""The summary of a battery: the one call beside the best of the peers and of its own members, table by table."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl.files.output import write_output
from bayestl.report.plots import image
from bayestl.studies.small_tables.models import AUTO
from bayestl.studies.small_tables.results import Results
from bayestl.studies.small_tables.scores import EACH, LEVELS
from bayestl.studies.small_tables.tables import TABLES
from bayestl.studies.small_tables.words import below, everything, failed, lines, notes

KEY = ["table", "n", "quantity"]
"""What a line of the summary stands for; ``n`` is 0 for folds."""
MEMBER = f"{AUTO}: "
"""How the names of the members of the ensemble begin."""


class Summary:
    """What a results file says.

    Parameters
    ----------
    results : Results
        Finished units, of all tables or of some.

    Attributes
    ----------
    scores : DataFrame
        One row for each table, number of rows with both labels, quantity and model: means over the labels of all draws,
        counts of labels inside of the intervals, seconds of a fit with its predictions.
    table : DataFrame
        One row for each table, number and quantity with ``auto``: its scores, its CRPS over that of the best peer and of
        the best member on the same draws (below 1: better), and the shares of labels in its intervals.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.draws = _in_order(results.scores())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores over all draws, index (table, n, quantity, model)."""
        return pd.DataFrame({key: _pooled(part) for key, part in self.draws.groupby([*KEY, "model"], sort=False)}).T

    @cached_property
    def ratios(self) -> pd.DataFrame:
        """CRPS of ``auto`` over that of every other model on their common draws: a row per table, a column per model."""
        found = {}
        for key, part in self.draws.groupby(KEY, sort=False):
            crps = part.pivot(index="draw", columns="model", values="crps")
            labels = part.groupby("draw")["labels"].first()
            if AUTO in crps:
                found[key] = {m: _ratio(crps[AUTO], crps[m], labels) for m in crps if m != AUTO}
        keys = (
            pd.MultiIndex.from_tuples(list(found), names=KEY)
            if found
            else pd.MultiIndex.from_arrays([[]] * 3, names=KEY)
        )
        return pd.DataFrame(list(found.values()), index=keys, dtype=float)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The line of each table, index (table, n, quantity)."""
        rows = {}
        for key, ratio in self.ratios.iterrows():
            of_auto = self.scores.loc[(*key, AUTO)]
            of_member = ratio.index.str.startswith(MEMBER)
            peer, member = ratio[~of_member].dropna(), ratio[of_member].dropna()
            rows[key] = {
                "draws": of_auto["draws"],
                **{name: of_auto.get(name, np.nan) for name in EACH},
                "over peer": peer.max() if len(peer) else np.nan,
                "best peer": peer.idxmax() if len(peer) else "",
                "over member": member.max() if len(member) else np.nan,
                "best member": member.idxmax().removeprefix(MEMBER) if len(member) else "",
                **{name: of_auto.get(name, np.nan) for name in LEVELS},
                "labels": of_auto["labels"],
                "seconds": of_auto["seconds"],
            }
        return pd.DataFrame(rows).T.rename_axis(KEY).infer_objects()

    @property
    def totals(self) -> dict[str, float]:
        """Over all tables: geometric mean and worst of the ratios, the mean ratio to the best member, and coverage."""
        t = self.table
        found = {
            "geometric mean over best peer": _geometric(t["over peer"]),
            "worst over best peer": t["over peer"].max(),
            "geometric mean over best member": _geometric(t["over member"]),
            "worst over best member": t["over member"].max(),
            "mean over best member": t["over member"].mean(),
        }
        counted = t.dropna(subset=list(LEVELS))
        for name in LEVELS:
            share = counted[name] / counted["labels"]
            found[name] = counted[name].sum() / counted["labels"].sum()
            found[f"worst {name}"] = share.iloc[(share - LEVELS[name]).abs().argmax()] if len(share) else np.nan
        return {key: float(value) for key, value in found.items()}

    def __str__(self) -> str:
        if self.draws.empty:
            return "\n".join(["no scores yet", *failed(self.results.failures)])
        compared = [] if self.ratios.empty else [*lines(self.table), "", *below(self.totals, self.table), ""]
        parts = [*compared, *failed(self.results.failures), *everything(self.scores), "", *notes(self.scores)]
        return "\n".join(parts)

    @property
    def figures(self) -> pd.DataFrame:
        """The line of each table, labels in intervals as shares."""
        return self.table.assign(**{name: self.table[name] / self.table["labels"] for name in LEVELS})

    def write(self, folder: Path) -> None:
        """Write the summary as text and as tables, and the picture."""
        from bayestl.studies.small_tables.picture import draw

        write_output(folder / "summary.txt", f"{self}\n")
        write_output(folder / "scores.csv", self.scores.rename_axis([*KEY, "model"]).to_csv())
        if not self.ratios.empty:
            write_output(folder / "summary.csv", self.table.to_csv())
            figure = draw(self.table, self.ratios.loc[:, ~self.ratios.columns.str.startswith(MEMBER)])
            for ending in ("svg", "png"):
                write_output(folder / f"small-tables.{ending}", image(figure, ending))


def _in_order(draws: pd.DataFrame) -> pd.DataFrame:
    """The scores by table, as in the list of tables, then number; ``auto`` first, then its members, then the peers."""
    if draws.empty:
        return draws
    tables = {name: k for k, name in enumerate([*TABLES, *draws["table"].unique()][::-1])}
    model = draws["model"].map(lambda m: 0 if m == AUTO else 1 if m.startswith(MEMBER) else 2)
    rank = pd.DataFrame({"table": -draws["table"].map(tables), "n": draws["n"], "model": model})
    return draws.loc[rank.sort_values(["table", "n", "model"], kind="stable").index].reset_index(drop=True)


def _pooled(part: pd.DataFrame) -> dict[str, Any]:
    """The scores of a model over draws (rows of the frame), each weighted by its number of labels."""
    weight, found = part["labels"].to_numpy(dtype=float), {"draws": len(part), "labels": int(part["labels"].sum())}
    scores = {name: float(weight @ part[name] / weight.sum()) for name in EACH if name in part}
    inside = {name: part[name].sum(skipna=False) for name in LEVELS if name in part}
    return found | scores | inside | {"seconds": float((part["fit_seconds"] + part["seconds"]).mean())}


def _ratio(one: pd.Series, other: pd.Series, labels: pd.Series) -> float:
    """The mean of one score over that of another on the draws that have both, weighted by their numbers of labels."""
    both = (one.notna() & other.notna()).to_numpy()
    weight = labels.reindex(one.index).to_numpy()[both]
    return float((weight @ one[both]) / (weight @ other[both])) if both.any() else np.nan


def _geometric(ratios: pd.Series) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(ratios.astype(float)).mean()))
