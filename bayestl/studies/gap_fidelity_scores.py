"""Results of the fidelities of gaps: scores, what the other fidelities cut of the error, and the offsets of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayestl import metrics
from bayestl.files.output import write_output
from bayestl.report import plots

PUBLISHED = {"expt": (0.492, 0.378), "hse": (0.572, 0.308), "gllb_sc": (0.683, 0.484), "scan": (0.779, 0.452)}
"""MAE in eV alone and with all fidelities by MEGNet, from structures, on other splits (Chen et al. 2021)."""
NAMES = {"expt": "measured", "hse": "HSE", "gllb_sc": "GLLB-SC", "scan": "SCAN"}
_KEY = ["hide", "quantity", "n_pbe", "model"]


@dataclass
class Scores:
    """Held-out predictions of all fits in a folder, one row per label."""

    predictions: pd.DataFrame

    @classmethod
    def of_folder(cls, folder: Path, targets: list[str]) -> Scores:
        """The predictions of the targets that a folder holds.

        Raises
        ------
        ValueError
            If it holds none.
        """
        files = sorted(file for t in targets for file in folder.glob(f"*-{t}*.csv"))
        if not files:
            raise ValueError(f"no results in {folder}: run `bayestl reproduce fidelities-of-gaps -o {folder}` first")
        return cls(pd.concat([pd.read_csv(file) for file in files], ignore_index=True))

    @property
    def table(self) -> pd.DataFrame:
        """One row per ``hide``, target, number of PBE labels and model: mean scores of folds, the slowest fit, memory."""
        by_fold = self.predictions.groupby([*_KEY, "fold"]).apply(_scores_of, include_groups=False)
        means = by_fold.groupby(_KEY).mean().assign(folds=by_fold.groupby(_KEY).size())
        largest = self.predictions.groupby(_KEY)[["fit_seconds", "gigabytes"]].max()
        return means.join(largest).rename(columns={"fit_seconds": "fit, s", "gigabytes": "GB"})

    @property
    def cuts(self) -> pd.DataFrame:
        """The part of the MAE alone that PBE gaps and all gaps take away on the folds that both have, and that of MEGNet."""
        errors = self.predictions.assign(mae=(self.predictions["median"] - self.predictions["y"]).abs())
        mae = errors.groupby([*_KEY, "fold"])["mae"].mean().unstack("model").reset_index("n_pbe")
        alone = mae["alone"].groupby(level=["hide", "quantity", "fold"]).first() if "alone" in mae else pd.Series()
        rows = []
        for model in [m for m in ("PBE", "all") if m in mae]:
            for (hide, target, n_pbe), errors_of in (
                mae.set_index("n_pbe", append=True)[model].dropna().groupby(level=["hide", "quantity", "n_pbe"])
            ):
                of_folds = errors_of.droplevel("n_pbe")
                cut = (1 - of_folds / alone.reindex(of_folds.index)).dropna()
                before, after = PUBLISHED[target]
                published = 1 - after / before if model == "all" else float("nan")
                rows.append((hide, target, n_pbe, model, cut.mean(), cut.sem(), len(cut), published))
        columns = ["hide", "target", "n_pbe", "known beside it", "cut", "+-", "folds", "MEGNet"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def figures(self) -> pd.DataFrame:
        """The scores, and the cuts beside them."""
        return (
            self.table.reset_index()
            .rename(columns={"quantity": "target"})
            .merge(
                self.cuts.rename(columns={"known beside it": "model"}).drop(columns="folds"),
                on=["hide", "target", "n_pbe", "model"],
                how="left",
            )
        )

    def write(self, folder: Path) -> None:
        """Write the tables as CSV; the predictions are in the folder."""
        write_output(folder / "scores.csv", self.table.to_csv())
        write_output(folder / "cuts.csv", self.cuts.to_csv(index=False))

    def __str__(self) -> str:
        if self.cuts.empty:  # nothing to compare
            return self.table.round(3).to_string()
        return (
            f"{self.table.round(3).to_string()}\n\n"
            "part of the error alone that is gone; MEGNet: from structures, on other splits\n"
            f"{self.cuts.round(3).to_string(index=False, na_rep='-')}"
        )


def _scores_of(part: pd.DataFrame) -> pd.Series:
    y, above = part["y"], part[part["y"] > 0]
    inside = y.between(part["lower"], part["upper"])
    return pd.Series(
        {
            "MAE": metrics.mae(y.to_numpy(), part["median"].to_numpy()),
            "RMSE": metrics.rmse(y.to_numpy(), part["mean"].to_numpy()),
            "CRPS": float(part["crps"].mean()),
            "in 90 %": float(inside.mean()),
            "PIT in 90 %": float(part["pit"].between(0.05, 0.95).mean()),
            "gaps in 90 %": float(inside[above.index].mean()),
            "MAE of gaps": metrics.mae(above["y"].to_numpy(), above["median"].to_numpy()),
            "metal or not": float(((part["median"] > 0) == (y > 0)).mean()),
        }
    )


@dataclass
class Offsets:
    """Joint draws of the scale ``rho`` and the offset of each fidelity beside PBE, and the gaps that they were learnt from."""

    draws: pd.DataFrame
    """Columns (level, parameter, group), as :meth:`bayestl.DifferenceGP.offset_draws` gives them."""
    gaps: pd.DataFrame

    def beyond(self, level: str, pbe: np.ndarray) -> pd.DataFrame:
        """What a fidelity adds to PBE gaps (n,) in eV, as ``rho`` and offset say: mean, std and 90 % interval."""
        rho, offset = (self.draws[level, name, ""].to_numpy() for name in ("rho", "offset"))
        added = (rho - 1)[:, None] * pbe + offset[:, None]
        lower, upper = np.quantile(added, [0.05, 0.95], axis=0)
        return pd.DataFrame({"mean": added.mean(0), "std": added.std(0), "lower": lower, "upper": upper}, pbe)

    @property
    def levels(self) -> list[str]:
        """The fidelities beside PBE."""
        return list(dict.fromkeys(level for level, *_ in self.draws))

    @property
    def table(self) -> pd.DataFrame:
        """One row per fidelity: gaps, those with a PBE gap beside them, ``rho``, offset, and what is added at 1 and 4 eV."""
        rows = {}
        for level in self.levels:
            rho, offset = (self.draws[level, name, ""] for name in ("rho", "offset"))
            both = self.gaps[[level, "pbe"]].notna()
            rows[level] = {
                "gaps": int(both[level].sum()),
                "with PBE": int(both.all(axis=1).sum()),
                "rho": f"{rho.mean():.3f} +- {rho.std():.3f}",
                "offset, eV": f"{offset.mean():.3f} +- {offset.std():.3f}",
            }
            for pbe, added in self.beyond(level, np.array([1.0, 4.0])).iterrows():
                rows[level][f"added at {pbe:g} eV"] = f"{added['mean']:.2f} +- {added['std']:.2f}"
        return pd.DataFrame(rows).T

    @property
    def figures(self) -> pd.DataFrame:
        """The table."""
        return self.table.rename_axis("level")

    def __str__(self) -> str:
        return f"non-metals, {int(self.gaps.notna().to_numpy().sum())} gaps\n{self.table.to_string()}"

    def plot(self, ax: Any) -> None:
        """What each fidelity adds to a PBE gap, with its 90 % interval."""
        pbe = np.linspace(0.0, 6.0, 61)
        for level, colour in zip(self.levels, plots.COLOURS, strict=False):
            added = self.beyond(level, pbe)
            ax.plot(pbe, added["mean"], color=colour, label=NAMES[level])
            ax.fill_between(pbe, added["lower"], added["upper"], color=colour, alpha=0.25, lw=0)
        ax.axhline(0.0, color="0.6", lw=0.8)
        ax.set(xlabel="PBE gap (eV)", ylabel="added to it (eV)", xlim=(0, 6))
        ax.legend(frameon=False)

    def write(self, folder: Path) -> None:
        """Write the table as CSV, and the picture."""
        from matplotlib.figure import Figure

        write_output(folder / "offsets.csv", self.table.to_csv())
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        self.plot(figure.subplots())
        write_output(folder / "offsets.png", plots.image(figure))
