"""Whether a posterior can be trusted: export to ArviZ, a table of checks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {"diagnose": "bayestl.diagnostics.checks", "to_arviz": "bayestl.diagnostics.arviz"}

__all__ = ["diagnose", "to_arviz"]

if TYPE_CHECKING:
    from bayestl.diagnostics.arviz import to_arviz
    from bayestl.diagnostics.checks import diagnose


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the export needs NumPy and xarray alone, the checks all of the package
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bayestl.diagnostics' has no attribute {name!r}")
