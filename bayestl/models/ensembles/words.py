"""What a fitted ensemble says of itself, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayestl.models.ensembles.auto import AutoTransfer


def summary_of(model: AutoTransfer) -> str:
    """The summary of a fitted model."""
    return str(model.weights_.round(2))
