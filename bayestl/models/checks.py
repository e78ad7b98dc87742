"""Checks of a model on its own labels, held out: exactly where the model has leave-one-out, else by folds where asked for."""

from __future__ import annotations

from collections.abc import Iterator

from bayestl.diagnostics.checks import Check, label_checks
from bayestl.models.base import BayesianModel
from bayestl.models.crossfit import held_out_labels


def fold_checks(model: BayesianModel, cv: int | None) -> Iterator[Check]:
    """Of labels that are held out by folds of rows, if ``cv`` names their number."""
    if cv is not None:
        held = held_out_labels(model, cv, int(model.random_state), model.verbose)
        yield from label_checks(model.table_.tasks, model.table_.index, held, "held-out")
