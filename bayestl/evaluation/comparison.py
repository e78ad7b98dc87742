"""The result of a cross-validation: scores of each model, quantity and fold, and paired differences between models.

All models are scored on the same splits, so differences are taken fold by fold, with their standard error over folds.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bayestl.diagnostics.words import FEW_LABELS, LEVEL, plus_minus, wrapped
from bayestl.table.table import Table
from bayestl.table.task import labelled

BELIEVABLE = (0.80, 0.97)
"""Coverage of those intervals between which a model may be called the best without a word on them."""
HIDDEN = {
    "target": "where the other labels of its row are known",
    "row": "where no label of its row is known",
}
"""What is known of a held-out row, in words."""
SCORES = ("mae", "rmse", "crps", "nlpd", "coverage", "width", "interval_score", "accuracy", "macro_f1")
"""The scores of a comparison: ``coverage`` is best at :data:`LEVEL`, ``accuracy`` and ``macro_f1`` are
higher-is-better, the others lower-is-better.  Classes have the last two and ``nlpd`` (the log loss); numbers have all
but the last two.  A label of which only an interval is known has the error by which the prediction misses the interval, the
log probability of the interval as log density, and the CRPS outside of it."""
HIGHER = ("accuracy", "macro_f1")
"""The scores that are higher-is-better."""


@dataclass
class Comparison:
    """Result of :func:`bayestl.compare`.

    Attributes
    ----------
    scores : DataFrame
        One row per model, quantity (task or function of tasks) and fold; columns :data:`SCORES` and ``n``.
    predictions : DataFrame
        One row per model, fold, quantity and held-out label: ``row``, ``y`` and ``high`` (the ends of an interval, else equal),
        ``mean``, ``std``, ``lower``, ``upper``,
        ``median``, ``log_density``, ``crps``, ``pit``; classes as positions, ``likeliest`` the predicted class, ``p0``,
        ``p1`` ... the class probabilities; ``zero`` the probability of an exact zero.
    hide : {"target", "row"}
        Which labels a held-out row lost.
    units : dict of str to str
        The unit of each task that has one.
    failures : list of str
        The model, fold and error of each fit that raised.
    shape : (int, int)
        Number of rows and features of the table.
    label_counts : DataFrame
        Number of rows with labels of both tasks (T, T); on the diagonal, of the task.
    whole : Table, optional
        The table that was split.
    alone : str
        The first model in which no task informs another, if there is one.
    informed : tuple of str
        The models in which tasks inform each other.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> Y = pd.DataFrame({"gap": np.sin(5 * x[:, 0])})
    >>> models = {k: btl.IndependentGP(kernel=k, hyperparameters="map") for k in ("rbf", "exponential")}
    >>> comparison = btl.compare(models, x, Y, cv=2, verbose=False)
    >>> comparison.best("gap")
    'rbf'
    >>> comparison.table["mae"].columns.tolist()
    ['mean', 'se']
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    hide: str
    units: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    shape: tuple[int, int] = (0, 0)
    label_counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    whole: Table | None = None
    alone: str = ""
    informed: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """The names of the models, in the order given."""
        return list(dict.fromkeys(self.scores["model"]))

    @property
    def quantities(self) -> list[str]:
        """The tasks and functions of tasks that were scored."""
        return list(dict.fromkeys(self.scores["quantity"]))

    @property
    def table(self) -> pd.DataFrame:
        """Mean over folds and its standard error, index (quantity, model), columns (score, "mean"/"se").

        The standard error treats folds as independent; training sets overlap, so it is somewhat too small.
        """
        grouped = self.scores.groupby(["quantity", "model"], sort=False)[list(SCORES)]
        columns = pd.concat({"mean": grouped.mean(), "se": grouped.sem()}, axis=1).swaplevel(axis=1)
        return columns[[(score, side) for score in SCORES for side in ("mean", "se")]]

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
        paired = pd.DataFrame({"difference": grouped.mean(), "se": grouped.sem()})
        paired["ratio"] = paired["difference"] / paired["se"]
        return paired

    def label(self, quantity: str) -> str:
        """The name of a quantity with its unit, for tables and axes."""
        return labelled(quantity, self.units.get(quantity, ""))

    def names_of(self, rows: Any) -> list[Any]:
        """The names of the rows at some positions of the table; where the table is not known, the positions."""
        return list(rows) if self.whole is None else list(self.whole.index[list(rows)])

    def classified(self, quantity: str) -> bool:
        """Whether the quantity is a class."""
        return bool(self.scores.loc[self.scores["quantity"] == quantity, "accuracy"].notna().any())

    def best(self, quantity: str, score: str | None = None) -> str:
        """The model with the best mean score of a quantity; the default score is MAE, for classes the log loss."""
        if quantity not in self.quantities:
            raise ValueError(f"no quantity {quantity!r}; the quantities are {self.quantities}")
        score = score or ("nlpd" if self.classified(quantity) else "mae")
        if score not in SCORES:
            raise ValueError(f"no score {score!r}; the scores are {list(SCORES)}")
        column = self.table.xs(quantity, level="quantity")[score, "mean"]
        return str(column.idxmax() if score in HIGHER else column.idxmin())

    def held(self, quantity: str, model: str) -> float:
        """The share of the held-out labels of a quantity in the 90 % intervals of a model; NaN for classes."""
        of_model = self.scores[(self.scores["quantity"] == quantity) & (self.scores["model"] == model)]
        return float(np.average(of_model["coverage"].astype(float), weights=of_model["n"]))

    def doubt(self, quantity: str, model: str) -> str:
        """What must be said beside a ``model`` that is called the best in a ``quantity``: what its intervals hold, if outside :data:`BELIEVABLE` and not of a few labels only."""
        coverage = self.held(quantity, model)
        few = (
            self.predictions.query("quantity == @quantity")["row"].nunique() < FEW_LABELS
        )  # too few to judge intervals
        if few or self.classified(quantity) or BELIEVABLE[0] <= coverage <= BELIEVABLE[1]:
            return ""
        return f"its {LEVEL:.0%} intervals hold {coverage:.0%}".replace("%", " %")

    def __str__(self) -> str:
        return format_table(self)

    def __repr__(self) -> str:
        n = self.scores["fold"].nunique()
        return f"Comparison({len(self.models)} models, {self.quantities}, {n} folds, hide={self.hide!r})"

    def _repr_html_(self) -> str:
        parts = (
            f"<h4>{html.escape(self.label(q))}</h4>{score_frame(self, q).to_html(border=0)}" for q in self.quantities
        )
        return f"{''.join(parts)}<p>{html.escape(' '.join(notes(self)))}</p>"


NUMBER_COLUMNS = {"MAE": "mae", "RMSE": "rmse", "CRPS": "crps", "NLPD": "nlpd", "in 90 %": "coverage", "width": "width"}
"""The columns in which the scores of a number are shown."""
CLASS_COLUMNS = {"accuracy": "accuracy", "macro F1": "macro_f1", "log loss": "nlpd"}
"""The columns in which the scores of a class are shown."""


def score_frame(comparison: Comparison, quantity: str, sign: str = "±") -> pd.DataFrame:
    """The scores of a quantity as texts, one row per model: mean over folds and its standard error."""
    columns = CLASS_COLUMNS if comparison.classified(quantity) else NUMBER_COLUMNS
    table = comparison.table.xs(quantity, level="quantity")
    cells = {
        shown: [
            f"{m:.3g}" if score == "width" else plus_minus(m, s, sign)
            for m, s in zip(table[score, "mean"], table[score, "se"], strict=True)
        ]
        for shown, score in columns.items()
    }
    return pd.DataFrame(cells, index=list(table.index))


def notes(comparison: Comparison) -> list[str]:
    """What the columns are, a sentence each."""
    classes = [comparison.classified(q) for q in comparison.quantities]
    said = ["Mean over folds with its standard error."]
    if not all(classes):
        said.append(
            "MAE: mean absolute error of the median; RMSE: root mean squared error of the mean; CRPS: error of the whole predicted "
            "distribution, in the unit of the label; NLPD: negative log density, nats (0.69 nats less: twice the density); width: "
            "of the 90 % intervals."
        )
    if any(classes):
        said.append(
            "Log loss: negative log probability of the true class, nats; macro F1: mean over classes of their F1."
        )
    return said


def format_table(comparison: Comparison) -> str:
    """The table as text: one block per quantity, one line per model, and what the columns are."""
    blocks = []
    for quantity in comparison.quantities:
        shown = score_frame(comparison, quantity, "+-")
        lines = shown.to_string(justify="right").splitlines()
        blocks.append("\n".join([comparison.label(quantity), *(f"  {line}".rstrip() for line in lines)]))
    return "\n\n".join([*blocks, wrapped(notes(comparison))])
