"""Active learning: campaigns that choose the next measurement for its cost, and simulations of them on known tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Campaign": "bayestl.active.campaign",
    "LedgerError": "bayestl.active.ledger.schema",
    "Above": "bayestl.active.goals",
    "Between": "bayestl.active.goals",
    "Learn": "bayestl.active.goals",
    "Maximise": "bayestl.active.goals",
    "Minimise": "bayestl.active.goals",
    "Reach": "bayestl.active.goals",
    "as_botorch": "bayestl.active.botorch",
    "plot_campaign": "bayestl.active.plots",
    "plot_simulation": "bayestl.active.plots",
    "ByModel": "bayestl.active.policies",
    "Policy": "bayestl.active.policies",
    "Random": "bayestl.active.policies",
    "simulate": "bayestl.active.simulation",
    "Simulation": "bayestl.active.simulation",
}

__all__ = [
    "Above",
    "Between",
    "ByModel",
    "Campaign",
    "Learn",
    "LedgerError",
    "Maximise",
    "Minimise",
    "Policy",
    "Random",
    "Reach",
    "Simulation",
    "as_botorch",
    "plot_campaign",
    "plot_simulation",
    "simulate",
]

if TYPE_CHECKING:
    from bayestl.active.botorch import as_botorch
    from bayestl.active.campaign import Campaign
    from bayestl.active.goals import Above, Between, Learn, Maximise, Minimise, Reach
    from bayestl.active.ledger.schema import LedgerError
    from bayestl.active.plots import plot_campaign, plot_simulation
    from bayestl.active.policies import ByModel, Policy, Random
    from bayestl.active.simulation import Simulation, simulate


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bayestl.active' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
