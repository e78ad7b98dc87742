"""The cases of the benchmarks, each with its protocol and the peers' figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def choose(models: dict[str, Any], only: Sequence[str] | None) -> dict[str, Any]:
    """The models that were asked for, all where nothing was.

    Raises
    ------
    ValueError
        For a name that no model has.
    """
    if unknown := sorted(set(only or ()) - set(models)):
        raise ValueError(f"no such model {unknown[0]!r}; the models are {list(models)}")
    return {name: model for name, model in models.items() if only is None or name in only}
