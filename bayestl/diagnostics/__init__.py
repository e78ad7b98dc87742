"""Whether a posterior can be trusted: export to ArviZ, checks, calibration."""

from bayestl.diagnostics.arviz import to_arviz

__all__ = ["to_arviz"]
