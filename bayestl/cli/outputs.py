"""What commands write: tables and folders, which are checked before long work begins, and JSON for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayestl.cli.reading import check_suffix, table_bytes
from bayestl.files.output import check_folder, check_output, write_output

if TYPE_CHECKING:
    import pandas as pd

Force = Annotated[bool, typer.Option("--force", help="Replace what is at --output.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]


def path_in(text: str | Path) -> Path:
    """The path of an option; an empty one is refused."""
    if not str(text):
        raise typer.BadParameter("the path is empty")
    return Path(text)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format that the suffix of the path names."""
    write_output(check_output(path), table_bytes(frame, path))


def table_path_in(text: str | Path) -> Path:
    """The path of an option for a table; an empty one, and one of an unknown format, are refused."""
    path = path_in(text)
    try:
        check_suffix(path)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return path


def check_model_folder(path: Path, data: Path, replace: bool) -> None:
    """Refuse a folder to which no model can be saved, before the fit.

    Raises
    ------
    ValueError
        If it is a file, holds other things than a model, or a model that may not be replaced.
    """
    from bayestl.files.folder import FILE, is_leftover

    check_folder(path)
    inside = {file.name for file in path.iterdir() if not is_leftover(file)} if path.is_dir() else set()
    if inside and FILE not in inside:
        raise ValueError(f"{path} is a folder with other files: name a new folder for the model")
    if inside and any(data.samefile(path / name) for name in inside):
        raise ValueError(f"{path} holds {data.name}, which is read: name a new folder for the model")
    if inside and not replace:
        raise ValueError(f"{path} holds a model: choose another folder, or replace it with --force")


def print_json(document: Any) -> None:
    """Print a document as JSON; numbers that are not finite are null."""
    typer.echo(json.dumps(_plain(document), indent=1, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """A value with JSON's types only."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
