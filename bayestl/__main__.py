"""``python -m bayestl``, and what the command ``bayestl`` runs."""

import sys


def main() -> None:
    """Run the command line; an interrupt is quiet from the first import on."""
    try:
        from bayestl.cli import app

        app(prog_name="bayestl")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
