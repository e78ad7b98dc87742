"""Which architecture predicts best, and how sure is that: cross-validation with paired differences.

``hide="row"``: a held-out row loses all labels.  ``hide="target"``: it keeps the labels of its other tasks, which go
in as ``observed``.  All models see the same splits, so differences are taken fold by fold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

LEVEL = 0.9
"""Of the intervals whose coverage and width are reported."""
SCORES = ("mae", "rmse", "crps", "nlpd", "coverage", "width", "interval_score", "accuracy", "macro_f1")
"""The columns of a comparison: ``coverage`` is best at :data:`LEVEL`, ``accuracy`` and ``macro_f1`` are higher-is-better,
the others lower.  Classes have the last two and ``nlpd``, which is their log loss; numbers have all but the last two."""
HIGHER = ("accuracy", "macro_f1")


@dataclass
class Comparison:
    """Result of :func:`compare`.

    Attributes
    ----------
    scores : DataFrame
        One row a model, quantity (task or function of tasks) and fold; columns :data:`SCORES` and ``n``.
    predictions : DataFrame
        One row a model, fold, quantity and held-out label: ``row``, ``y``, ``mean``, ``std``, ``lower``, ``upper``,
        ``median``, ``log_density``, ``crps``, ``pit``; classes as positions, ``likeliest`` the predicted one, ``p0``,
        ``p1`` ... their probabilities (``zero`` that of an exact zero).
    failures : list of str
        Fits that raised, by model and fold, with the error.
    shape : (int, int)
        Rows and features of the table.
    shared : DataFrame
        Rows that have labels of two tasks (T, T), on the diagonal those of one.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    hide: str
    units: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    shape: tuple[int, int] = (0, 0)
    shared: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(dict.fromkeys(self.scores["model"]))

    @property
    def quantities(self) -> list[str]:
        """Tasks and functions that were scored."""
        return list(dict.fromkeys(self.scores["quantity"]))

    @property
    def table(self) -> pd.DataFrame:
        """Mean over folds and its standard error, index (quantity, model), columns (score, "mean"/"se").

        The standard error is that of the mean over folds as if folds were independent; training sets overlap, so it
        is somewhat too small.
        """
        grouped = self.scores.groupby(["quantity", "model"], sort=False)[list(SCORES)]
        out = pd.concat({"mean": grouped.mean(), "se": grouped.sem()}, axis=1).swaplevel(axis=1)
        return out[[(score, side) for score in SCORES for side in ("mean", "se")]]

    def paired(self, reference: str, score: str = "mae") -> pd.DataFrame:
        """Difference to a reference model, fold by fold: mean, standard error, and their ratio.

        Raises
        ------
        ValueError
            If the reference or the score is unknown.
        """
        if reference not in self.models:
            raise ValueError(f"no model {reference!r}; the models are {self.models}")
        if score not in SCORES:
            raise ValueError(f"no score {score!r}; the scores are {list(SCORES)}")
        wide = self.scores.pivot(index=["quantity", "fold"], columns="model", values=score)
        difference = wide.drop(columns=reference).sub(wide[reference], axis=0).stack().rename("difference")
        grouped = difference.groupby(level=["quantity", "model"], sort=False)
        out = pd.DataFrame({"difference": grouped.mean(), "se": grouped.sem()})
        out["ratio"] = out["difference"] / out["se"]
        return out

    def classified(self, quantity: str) -> bool:
        """Whether the quantity is a class."""
        return bool(self.scores.loc[self.scores["quantity"] == quantity, "accuracy"].notna().any())

    def best(self, quantity: str, score: str | None = None) -> str:
        """The model with the best mean score of a quantity: by default MAE, of classes the log loss."""
        score = score or ("nlpd" if self.classified(quantity) else "mae")
        column = self.table.xs(quantity, level="quantity")[score, "mean"]
        return str(column.idxmax() if score in HIGHER else column.idxmin())

    def __str__(self) -> str:
        return format_table(self)


def format_table(comparison: Comparison) -> str:
    """The table as text: one block a quantity, one line a model."""
    lines = []
    table = comparison.table
    width = max(len(m) for m in comparison.models)
    for quantity in comparison.quantities:
        unit = comparison.units.get(quantity, "")
        title = f"{quantity} ({unit})" if unit else quantity
        lines.append(f"{title}: mean over folds +- standard error")
        if comparison.classified(quantity):
            lines.append(f"  {'':{width}}  {'accuracy':>15} {'macro F1':>15} {'log loss':>15}")
            for model in comparison.models:
                row = table.loc[(quantity, model)]
                cells = [f"{row[s, 'mean']:7.4g} +- {row[s, 'se']:<5.2g}" for s in ("accuracy", "macro_f1", "nlpd")]
                lines.append(f"  {model:{width}}  " + " ".join(f"{c:>15}" for c in cells))
            lines.append("")
            continue
        lines.append(f"  {'':{width}}  {'MAE':>15} {'RMSE':>15} {'CRPS':>15} {'NLPD':>15} {'in 90 %':>13} {'width':>8}")
        for model in comparison.models:
            row = table.loc[(quantity, model)]
            cells = [f"{row[s, 'mean']:7.4g} +- {row[s, 'se']:<5.2g}" for s in ("mae", "rmse", "crps", "nlpd")]
            cells.append(f"{row['coverage', 'mean']:5.2f} +- {row['coverage', 'se']:<4.2f}")
            cells.append(f"{row['width', 'mean']:8.3g}")
            lines.append(
                f"  {model:{width}}  " + " ".join(f"{c:>15}" for c in cells[:4]) + f" {cells[4]:>13} {cells[5]}"
            )
        lines.append("")
    return "\n".join(lines).rstrip()
