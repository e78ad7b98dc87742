"""Functions of tasks as text, such as ``N2 - NO`` or ``log(`band gap`) / 2``: parsed, never evaluated as Python.

Names of tasks that are not Python identifiers stand between backticks.  Allowed are numbers, names, ``+ - * / **``, and
the functions in :data:`FUNCTIONS`, so reading an expression from a file cannot run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayestl.distributions.affine import affine_form

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "min": np.minimum,
    "max": np.maximum,
}
"""The functions that may be called; ``min`` and ``max`` take two arguments."""
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
MOST_CHARACTERS = 500


class Expression:
    """A function of tasks.

    Parameters
    ----------
    text : str
        Numbers, task names (between backticks where they are not identifiers), operators and :data:`FUNCTIONS`.
    names : sequence of str
        The tasks that the text may name.

    Raises
    ------
    ValueError
        For anything that is not allowed, naming it.

    Examples
    --------
    >>> Expression("N2 - 2 * NO", ["N2", "NO"])({"N2": 5.0, "NO": 1.0})
    3.0
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"an expression has at most {MOST_CHARACTERS} characters, this one has {len(text)}")
        quoted: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            quoted.append(match.group(1))
            return f"_quoted_{len(quoted) - 1}_"

        plain = re.sub(r"`([^`]+)`", stand_in, text)
        aliases = {f"_quoted_{i}_": name for i, name in enumerate(quoted)}
        try:
            tree = ast.parse(plain.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{text!r} is no expression of tasks: write it like 'a - b', names with spaces between backticks"
            ) from error
        self.used: list[str] = []
        self._function = self._compile(tree, set(names), aliases)
        if not self.used:
            raise ValueError(f"{text!r} names no task; the tasks are {list(names)}")

    def _compile(
        self, node: ast.AST, names: set[str], aliases: Mapping[str, str]
    ) -> Callable[[Mapping[str, Any]], Any]:
        """A syntax tree as a function of the labels by task; refuses every node that is not allowed."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            value = float(node.value)
            return lambda _: value
        if isinstance(node, ast.Name):
            name = aliases.get(node.id, node.id)
            if name not in names:
                raise ValueError(f"{self.text!r} names {name!r}, which is no task; the tasks are {sorted(names)}")
            if name not in self.used:
                self.used.append(name)
            return lambda values: self._numbers(name, values[name])
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
            unary, operand = _OPERATORS[type(node.op)], self._compile(node.operand, names, aliases)
            return lambda values: unary(operand(values))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            binary = _OPERATORS[type(node.op)]
            left, right = (self._compile(side, names, aliases) for side in (node.left, node.right))
            return lambda values: binary(left(values), right(values))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            if node.func.id in FUNCTIONS:
                function = FUNCTIONS[node.func.id]
                arity = 2 if node.func.id in ("min", "max") else 1
                if len(node.args) != arity:
                    raise ValueError(f"{self.text!r}: {node.func.id} takes {arity} argument(s), got {len(node.args)}")
                arguments = [self._compile(a, names, aliases) for a in node.args]
                return lambda values: function(*(a(values) for a in arguments))
            raise ValueError(f"{self.text!r} calls {node.func.id!r}; only {', '.join(sorted(FUNCTIONS))} may be called")
        raise ValueError(
            f"{self.text!r} holds {ast.unparse(node)!r}, which is not allowed: numbers, tasks, + - * / ** and "
            f"{', '.join(sorted(FUNCTIONS))} are"
        )

    def _numbers(self, name: str, values: Any) -> Any:
        """Labels of a task as numbers, also where classes are."""
        if not isinstance(values, np.ndarray | xr.DataArray) or values.dtype.kind in "fiu":
            return values
        try:
            return values.astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.text!r} computes with {name!r}, whose classes are no numbers: give the goal a Python function instead"
            ) from error

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value of the expression, from arrays or numbers by task.

        Raises
        ------
        ValueError
            For a task whose classes are no numbers.
        """
        return self._function(values)

    def linear(self, names: Sequence[str]) -> tuple[float, np.ndarray] | None:
        """``(constant, coefficients (T,))`` if the expression is affine in the tasks ``names``, else None."""
        found = affine_form(self, names, 1)
        return None if found is None else (float(found[0][0]), found[1][0])


@dataclass(frozen=True)
class WithKnown:
    """A function of the labels of n rows in which the ``known`` ones (n, T; NaN elsewhere) stand at their values.

    A row's quantity is computed from the labels that were measured; predicted for the row is a new label of every task,
    which would differ from the measured one by the noise.
    """

    function: Callable[[Any], Any]
    known: pd.DataFrame

    def __call__(self, y: Any) -> Any:
        """The value from draws or predictions ``y`` of the labels by task."""
        if isinstance(y, xr.Dataset):
            return self.function(y.assign({t: self.label(y[t], t) for t in self.known if t in y}))
        return self.function(_Held(y, self))

    def label(self, predicted: Any, task: str) -> Any:
        """The known label of a task where there is one, else the predicted one."""
        column = self.known[task]
        if isinstance(predicted, xr.DataArray) and predicted.dtype.kind != "f":  # classes by name
            names = xr.DataArray(column.to_numpy(dtype=object), dims="row")
            return predicted.where(xr.DataArray(column.isna().to_numpy(), dims="row"), names)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)  # a limit is no number
        is_known = ~np.isnan(numbers)
        return predicted * np.where(is_known, 0.0, 1.0) + np.where(is_known, numbers, 0.0)


class _Held:
    """Predictions by task, with the known labels of ``values`` in their place."""

    def __init__(self, predicted: Any, values: WithKnown) -> None:
        self._predicted, self._values = predicted, values

    def __getitem__(self, name: str) -> Any:
        predicted = self._predicted[name]
        return self._values.label(predicted, name) if name in self._values.known else predicted

    def __getattr__(self, name: str) -> Any:
        predicted = getattr(self._predicted, name)
        return self._values.label(predicted, name) if name in self._values.known else predicted
