"""The summary of a battery as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bayestl.studies import color
from bayestl.studies.small_tables.scores import EACH, LEVELS

TITLES = {"mae": "MAE", "rmse": "RMSE", "crps": "CRPS", "nlpd": "NLPD", "accuracy": "accuracy"}
"""Titles of the scores that are means over labels."""
NOTES = """For colours CRPS is the Brier score, sum over classes of (probability - 0 or 1)^2.  On gaps, most of which are
exactly zero, the NLPD of a peer without a probability of zero is of another kind.  A source itself, a line, a
difference and BoTorch's multi-task model are run where there is one other task, known in held-out rows; a class is
predicted by forests only, for which known labels of other tasks are features (latent), and predictions of them where
they are not known.  BoTorch's model is trained with the held-out rows' source, which is part of its seconds."""


def named(key: Any) -> str:
    """A table, its number of rows with both labels or its quantity."""
    table, n, quantity = key
    return f"{table}, {n}" if n else f"{table}: {quantity}"


def lines(table: pd.DataFrame) -> Iterator[str]:
    """A line for each table: the one call beside the best peer and the best member."""
    wide = max(len(named(key)) for key in table.index)
    yield "CRPS of auto over that of the best peer and of its best member (below 1: better), and labels in its intervals"
    best = f"{'over':>6} {'best peer':20} {'over':>6} {'best member':18}"
    titles = " ".join(f"{TITLES[s]:>8}" for s in ("mae", "crps", "nlpd"))
    yield f"{'':{wide}} {'draws':>5} {titles} {best} {'in 50 %':>7} {'in 90 %':>7} {'labels':>6} {'s':>6}"
    for key, r in table.iterrows():
        scores = " ".join(_cell(r[s], 8) for s in ("mae", "crps", "nlpd"))
        best = f"{r['over peer']:6.2f} {r['best peer']:20} {r['over member']:6.2f} {r['best member']:18}"
        rest = f"{_inside(r, 7)} {r['labels']:6.0f} {r['seconds']:6.1f}"
        yield f"{named(key):{wide}} {r['draws']:5.0f} {scores} {best} {rest}"


def below(totals: Mapping[str, float], table: pd.DataFrame) -> Iterator[str]:
    """The lines below them: over all tables, and the worst."""
    for other in ("peer", "member"):
        ratio = table[f"over {other}"].astype(float)
        if ratio.notna().any():
            mean, worst = totals[f"geometric mean over best {other}"], totals[f"worst over best {other}"]
            yield f"CRPS over the best {other}'s: geometric mean {mean:.3f}, worst {worst:.2f} ({named(ratio.idxmax())})"
    if totals["mean over best member"] == totals["mean over best member"]:
        yield f"  mean ratio to the best member, known afterwards: {totals['mean over best member']:.3f}"
    for name in LEVELS:
        if totals[name] == totals[name]:
            off = (table[name] / table["labels"] - LEVELS[name]).abs()
            farthest = f"{totals[f'worst {name}']:.2f} ({named(off.astype(float).idxmax())})"
            yield f"labels {name} intervals: {totals[name]:.3f} over all tables, farthest {farthest}"


def failed(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The units that failed, with their errors."""
    if failures:
        yield f"{len(failures)} units failed, and are tried again by the next run:"
    for record in failures:
        where = [str(record[k]) for k in ("table", "n", "draw", "model") if record[k] is not None]
        yield f"  {', '.join(where)}: {str(record['failure'])[:160]}"
    if failures:
        yield ""


def everything(scores: pd.DataFrame) -> Iterator[str]:
    """The scores of all models on all tables."""
    shown = [s for s in EACH if s in scores]
    wide = max(24, *(len(key[-1]) + 2 for key in scores.index))
    titles = " ".join(f"{TITLES[s]:>9}" for s in shown)
    yield f"{'all models':{wide}} {titles} {'in 50 %':>7} {'in 90 %':>7} {'labels':>6} {'s':>6} {'draws':>5}"
    for key, part in scores.groupby(level=[0, 1, 2], sort=False):
        yield named(key)
        for (*_, model), r in part.iterrows():
            cells = " ".join(_cell(r[s], 9) for s in shown)
            rest = f"{_inside(r, 7)} {r['labels']:6.0f} {r['seconds']:6.1f} {r['draws']:5.0f}"
            yield f"  {model:{wide - 2}} {cells} {rest}"


def notes(scores: pd.DataFrame) -> Iterator[str]:
    """What the numbers mean, and the figures of the paper's learner for colours, as measured beforehand."""
    yield NOTES
    if scores.index.get_level_values(0).str.startswith("color").any():
        yield f"\nlolo on the colours, folds of the seed 0, as measured beforehand:\n{color.PEERS.to_string()}"


def _cell(value: float, wide: int) -> str:
    """A score, or a dash where there is none."""
    return f"{'-' if value != value else format(value, '.3g'):>{wide}}"


def _inside(r: pd.Series, wide: int) -> str:
    """The shares of labels in the intervals."""
    shares = [r[name] / r["labels"] if name in r else float("nan") for name in LEVELS]
    return " ".join(f"{'-' if share != share else format(share, '.2f'):>{wide}}" for share in shares)
