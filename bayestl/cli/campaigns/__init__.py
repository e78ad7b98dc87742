"""Commands on campaigns of active learning."""

from __future__ import annotations

from bayestl.cli.campaigns.results import export, status, tell, withdraw
from bayestl.cli.campaigns.suggesting import simulate, suggest

__all__ = ["export", "simulate", "status", "suggest", "tell", "withdraw"]
