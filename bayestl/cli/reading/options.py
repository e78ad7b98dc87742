"""The options that say how a table file is to be read, the same for all commands that read one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Annotated, Any

import typer

SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
"""Words for separators that a shell makes hard to type."""


@dataclass(frozen=True)
class Reading:
    """What the user said of a file; None where the file is to tell."""

    sep: Annotated[
        str | None, typer.Option(help="Of a text file: what separates cells, such as ';', tab or space; default: told by the file.")
    ] = None  # fmt: skip
    decimal: Annotated[str | None, typer.Option(help="Of a text file: the decimal sign, '.' or ','.")] = None
    encoding: Annotated[str | None, typer.Option(help="Of a text file: such as utf-8, utf-16 or cp1252.")] = None
    skip_rows: Annotated[int, typer.Option(help="Lines above the line with the names of the columns.", min=0)] = 0
    sheet: Annotated[str | None, typer.Option(help="Of an Excel file: name or number of the sheet.")] = None

    def __post_init__(self) -> None:
        separator = SEPARATORS.get(self.sep or "", self.sep)
        if separator is not None and len(separator) != 1:
            raise ValueError(f"--sep: {self.sep!r} is not one character, tab or space")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"--decimal: {self.decimal!r} is neither '.' nor ','")
        if separator is not None and separator == self.decimal:
            raise ValueError(f"--sep and --decimal are both {self.decimal!r}")
        object.__setattr__(self, "sep", separator)

    def refuse(self, path: Any, names: tuple[str, ...], kind: str) -> None:
        """Refuse options that do not concern a kind of file."""
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"--{name} is not for {path}, {kind}")


HOW = Reading()
"""Nothing is said of the file."""


def reads_tables(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of :class:`Reading`, which it gets as ``how``."""
    own = inspect.signature(command, eval_str=True)
    shared = inspect.signature(Reading, eval_str=True).parameters
    parameters = {name: p.replace(kind=p.KEYWORD_ONLY) for name, p in own.parameters.items() if name != "how"}
    last = {name: parameters.pop(name) for name in ("quiet",) if name in parameters}
    parameters |= {name: p.replace(kind=p.KEYWORD_ONLY) for name, p in shared.items()} | last

    @wraps(command)
    def with_options(**values: Any) -> Any:
        try:
            how = Reading(**{f.name: values.pop(f.name) for f in fields(Reading)})
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        return command(**values, how=how)

    del with_options.__wrapped__  # type: ignore[attr-defined]
    with_options.__signature__ = own.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    with_options.__annotations__ = {name: p.annotation for name, p in parameters.items()}
    return with_options
