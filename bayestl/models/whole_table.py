"""What a model would choose by the size of a table, chosen once, by the whole of it.

A fold of a table near a threshold would otherwise be fitted in another way than the table itself, and what is held out would
say little of the fit that is used.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from bayestl.models.base import BayesianModel
from bayestl.table.table import Table, build_table


def decided(model: BayesianModel, table: Table) -> BayesianModel:
    """A clone of a model that is fitted to any rows of a table in the same way as to all of them."""
    member: BayesianModel = clone(model)
    return member.set_params(**model._decided(table))


def decided_by(model: Any, X: Any, Y: Any, Y_std: Any = None, groups: Any = None) -> Any:
    """:func:`decided` for a table as ``fit`` takes it; the model itself if it is of another library or cannot be fitted to it."""
    if not isinstance(model, BayesianModel):
        return model
    try:
        table = build_table(X, Y, Y_std, groups, model._tasks_for(Y), unlabelled=model._takes_unlabelled, suggest=False)
        return decided(model, model._decided_likelihoods(table))
    except (ValueError, ArithmeticError, RuntimeError):  # the fits will say what is wrong
        return model
