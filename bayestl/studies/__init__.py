"""The cases of ``bayestl reproduce``, with their protocols and the figures of other learners, and the demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def choose(models: dict[str, Any], only: Sequence[str] | None) -> dict[str, Any]:
    """The models with the names ``only``, all by default.

    Raises
    ------
    ValueError
        For a name that is not among the models.
    """
    if unknown := sorted(set(only or ()) - set(models)):
        raise ValueError(f"no such model {unknown[0]!r}; the models are {list(models)}")
    return {name: model for name, model in models.items() if only is None or name in only}
