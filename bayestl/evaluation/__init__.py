"""How well models predict labels that they have not seen: cross-validation, transfer, calibration, simulated tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Calibration": "simulated",
    "calibration_table": "calibration",
    "simulate_calibration": "simulated",
}

__all__ = [
    "Calibration",
    "calibration_table",
    "simulate_calibration",
]

if TYPE_CHECKING:
    from bayestl.evaluation.calibration import calibration_table
    from bayestl.evaluation.simulated import Calibration, simulate_calibration


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayestl.evaluation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bayestl.evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
