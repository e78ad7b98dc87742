"""Checks of models without leave-one-out, on labels held out in folds of rows."""

from __future__ import annotations

from collections.abc import Iterator

from bayestl.diagnostics.checks import Check, label_checks
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import held_out_labels
from bayestl.streams import spawn


def fold_checks(model: BayesianModel, cv: int | None) -> Iterator[Check]:
    """Checks of the labels held out in ``cv`` folds of rows; none if ``cv`` is None."""
    if cv is not None:
        held = held_out_labels(model, cv, spawn(model.seed_, "held-out labels"), model.verbose)
        yield from label_checks(model.table_.tasks, model.table_.index, held, "held-out")
