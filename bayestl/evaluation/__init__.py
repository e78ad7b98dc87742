"""How well models predict labels that they have not seen: cross-validation, transfer, calibration, simulated tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Calibration": "simulated",
    "calibration_table": "calibration",
    "compare": "cross_validation",
    "Comparison": "comparison",
    "learning_curve": "transfer",
    "suggest_graph": "graph_search",
    "transfer_gain": "transfer",
    "simulate_calibration": "simulated",
}

__all__ = [
    "Calibration",
    "Comparison",
    "calibration_table",
    "compare",
    "learning_curve",
    "simulate_calibration",
    "suggest_graph",
    "transfer_gain",
]

if TYPE_CHECKING:
    from bayestl.evaluation.calibration import calibration_table
    from bayestl.evaluation.comparison import Comparison
    from bayestl.evaluation.cross_validation import compare
    from bayestl.evaluation.graph_search import suggest_graph
    from bayestl.evaluation.simulated import Calibration, simulate_calibration
    from bayestl.evaluation.transfer import learning_curve, transfer_gain


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayestl.evaluation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bayestl.evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
