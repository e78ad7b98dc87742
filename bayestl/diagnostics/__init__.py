"""Whether a posterior can be trusted: export to ArviZ, a table of checks, calibration, simulated tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Calibration": "bayestl.diagnostics.sbc",
    "calibration_table": "bayestl.diagnostics.calibration",
    "diagnose": "bayestl.diagnostics.checks",
    "simulate_calibration": "bayestl.diagnostics.sbc",
    "to_arviz": "bayestl.diagnostics.arviz",
}

__all__ = ["Calibration", "calibration_table", "diagnose", "simulate_calibration", "to_arviz"]

if TYPE_CHECKING:
    from bayestl.diagnostics.arviz import to_arviz
    from bayestl.diagnostics.calibration import calibration_table
    from bayestl.diagnostics.checks import diagnose
    from bayestl.diagnostics.sbc import Calibration, simulate_calibration


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the export needs NumPy and xarray alone, the checks all of the package
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bayestl.diagnostics' has no attribute {name!r}")
