"""``python -m bayestl``, and what the command ``bayestl`` runs."""

import signal
import sys
from typing import Any


def main() -> None:
    """Run the command line; an interrupt is quiet from the first import on, and a request to end cleans up, too."""
    try:
        from bayestl.interrupts import ENDINGS, heard_signals

        for number in ENDINGS:
            if number != signal.SIGINT:
                signal.signal(number, _end)
        with heard_signals():
            from bayestl.cli import app

            app(prog_name="bayestl")
    except KeyboardInterrupt:
        sys.exit(130)


def _end(number: int, frame: Any) -> None:
    """End as an error would, so that nothing is left behind; with the exit code that shells expect."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
