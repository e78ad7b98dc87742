"""The command line ``bayestl``: ``app`` with all its commands.

Exit codes: 0 success, 1 an error in the user's input (one clear line, no traceback), 2 a wrong option.
"""

from __future__ import annotations

from bayestl.cli import campaigns, cases, check, commands, comparison, diagnosis
from bayestl.cli.app import app

__all__ = ["app"]

for _command in (
    commands.demo,
    check.check,
    commands.fit,
    commands.predict,
    commands.report,
    diagnosis.diagnose,
    comparison.compare,
    cases.reproduce,
    commands.datasets,
    campaigns.suggest,
    campaigns.tell,
    campaigns.status,
    campaigns.withdraw,
    campaigns.export,
    campaigns.simulate,
):
    app.command()(_command)
