"""``python -m bayestl`` is the command ``bayestl``."""

from bayestl.cli import app

if __name__ == "__main__":
    app(prog_name="bayestl")
