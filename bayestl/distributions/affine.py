"""Functions of several quantities as a user writes them: whether one is affine, proved, and its values in draws.

A function is evaluated once on objects that know their constant (n,) and their slopes (n, T) in place of the quantities.
They can be added, subtracted and scaled; whatever else is done to them (a comparison, a maximum, a product of two, a
method) may not be affine, and ends the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import xarray as xr
from joblib import wrap_non_picklable_objects


class _NotAffine(BaseException):
    """What ends the attempt; no ``except Exception`` in the user's function may go on with another result."""


class _OtherRows(BaseException):
    """Carries the error for a Series of other rows out of the user's function."""


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise _NotAffine


def _accept(_: Any) -> None:
    """No check."""


class _Refusing:
    """An object whose every use ends the attempt, but for what subclasses define."""

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = _refuse  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __divmod__ = __rdivmod__ = _refuse
    __matmul__ = __rmatmul__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _refuse
    __neg__ = __pos__ = __abs__ = __round__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __len__ = __iter__ = __next__ = __getitem__ = __setitem__ = __call__ = __str__ = __repr__ = __format__ = _refuse  # type: ignore[assignment]
    __array__ = __array_function__ = __array_ufunc__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that libraries ask for
            raise AttributeError(name)
        raise _NotAffine


class _Affine(_Refusing):
    """``constant (n,) + slope (n, T) times the quantities of each row``."""

    __pandas_priority__ = 10_000

    def __init__(self, constant: np.ndarray, slope: np.ndarray, check: Callable[[Any], None]) -> None:
        self.__dict__.update(of_constant=constant, of_slope=slope, of_check=check)

    def _number(self, value: Any) -> np.ndarray:
        """A number, or one number per row, as an array that broadcasts with (n,)."""
        if isinstance(value, xr.DataArray) and value.dims not in ((), ("row",)):
            raise _NotAffine
        try:
            is_named = isinstance(value, xr.DataArray) and "row" in value.coords
            self.of_check(value.to_series() if is_named else value)
        except ValueError as error:
            raise _OtherRows(error) from None
        array = np.asarray(value)
        if isinstance(value, _Refusing | list | tuple) or array.dtype.kind not in "biuf":
            raise _NotAffine
        if array.shape not in ((), self.of_constant.shape):
            raise _NotAffine
        return array.astype(float)

    def __neg__(self) -> _Affine:  # type: ignore[override]
        return _Affine(-self.of_constant, -self.of_slope, self.of_check)

    def __pos__(self) -> _Affine:  # type: ignore[override]
        return self

    def __add__(self, other: Any) -> _Affine:  # type: ignore[override]
        if isinstance(other, _Affine):
            return _Affine(self.of_constant + other.of_constant, self.of_slope + other.of_slope, self.of_check)
        return _Affine(self.of_constant + self._number(other), self.of_slope, self.of_check)

    __radd__ = __add__  # type: ignore[assignment]

    def __sub__(self, other: Any) -> _Affine:  # type: ignore[override]
        return self + (-other if isinstance(other, _Affine) else -self._number(other))

    def __rsub__(self, other: Any) -> _Affine:  # type: ignore[override]
        return -self + other

    def __mul__(self, other: Any) -> _Affine:  # type: ignore[override]
        factor = self._number(other)
        return _Affine(self.of_constant * factor, self.of_slope * factor[..., None], self.of_check)

    __rmul__ = __mul__  # type: ignore[assignment]

    def __truediv__(self, other: Any) -> _Affine:  # type: ignore[override]
        divisor = self._number(other)
        return _Affine(self.of_constant / divisor, self.of_slope / divisor[..., None], self.of_check)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        if method != "__call__" or kwargs or ufunc not in _OPERATIONS:
            raise _NotAffine
        return _OPERATIONS[ufunc](*inputs)


def _subtract(a: Any, b: Any) -> _Affine:
    return a - b if isinstance(a, _Affine) else b.__rsub__(a)


def _divide(a: Any, b: Any) -> _Affine:
    return a / b if isinstance(a, _Affine) else _refuse()


_OPERATIONS: dict[np.ufunc, Callable[..., _Affine]] = {
    np.add: lambda a, b: a + b if isinstance(a, _Affine) else b + a,
    np.subtract: _subtract,
    np.multiply: lambda a, b: a * b if isinstance(a, _Affine) else b * a,
    np.divide: _divide,
    np.negative: lambda a: -a,
    np.positive: lambda a: a,
}
"""The universal functions that leave a function affine."""


class _Quantities(_Refusing):
    """Quantities by name, as items or as attributes; stands for the dataset of draws."""

    def __init__(self, names: Sequence[str], n: int, check: Callable[[Any], None]) -> None:
        slopes = np.eye(len(names))
        pairs = zip(names, slopes, strict=True)
        values = {name: _Affine(np.zeros(n), np.tile(slope, (n, 1)), check) for name, slope in pairs}
        self.__dict__["of_names"] = values

    def __getitem__(self, name: Any) -> _Affine:  # type: ignore[override]
        if not isinstance(name, str) or name not in self.of_names:
            raise _NotAffine
        return self.of_names[name]

    def __getattr__(self, name: str) -> Any:
        if name in self.of_names and not hasattr(xr.Dataset, name):
            return self.of_names[name]
        return super().__getattr__(name)


def affine_form(
    function: Callable[[Any], Any], names: Sequence[str], n: int, check: Callable[[Any], None] = _accept
) -> tuple[np.ndarray, np.ndarray] | None:
    """Constant (n,) and slopes (n, T) of a function of the quantities ``names`` (T) in n rows; None if not affine.

    ``check`` raises a ValueError for numbers that are not those of these rows.

    Raises
    ------
    ValueError
        If the function uses such numbers.
    """
    try:
        with np.errstate(all="ignore"):
            value = function(_Quantities(names, n, check))
    except _OtherRows as other:
        raise other.args[0] from None
    except (_NotAffine, Exception):  # an error of the function's own is raised again where it is evaluated on draws
        return None
    if not isinstance(value, _Affine):
        return None
    constant, slope = np.broadcast_to(value.of_constant, n), value.of_slope
    return (constant, slope) if np.isfinite(constant).all() and np.isfinite(slope).all() else None


@dataclass(frozen=True)
class RowFunction:
    """A user's function of a dataset of draws, checked; one that pickle does not take is pickled by its code.

    Where it has an affine ``form`` in the quantities ``names``, that gives its values: pandas and xarray do not mix.
    """

    function: Callable[[Any], Any]
    names: tuple[str, ...]
    form: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(
        cls, function: Callable[[Any], Any], names: Sequence[str], n: int, check: Callable[[Any], None] = _accept
    ) -> RowFunction:
        """The function of the quantities ``names`` in n rows; of others it is not affine.

        ``check`` is that of :func:`affine_form`.

        Raises
        ------
        ValueError
            If it is no function.
        """
        if not callable(function):
            raise ValueError(
                f"a function of the tasks is expected, such as lambda y: y['a'] - y['b'], got {function!r}"
            )
        return cls(function, tuple(names), affine_form(function, names, n, check))

    def __call__(self, draws: xr.Dataset) -> np.ndarray:
        """The values (sample, row).

        Raises
        ------
        ValueError
            If the function returns another shape.
        """
        if self.form is not None:
            constant, slope = self.form
            parts = [slope[:, t] * draws[name].to_numpy() for t, name in enumerate(self.names)]
            return np.asarray(sum(parts) + constant)
        value, shape = self.function(draws), (draws.sizes["sample"], draws.sizes["row"])
        if isinstance(value, xr.DataArray):
            if set(value.dims) != {"sample", "row"}:
                raise ValueError(f"the function must return one value per sample and row, got dimensions {value.dims}")
            value = value.transpose("sample", "row")
        value = np.asarray(value, dtype=float)
        if value.shape != shape:
            raise ValueError(f"the function must return one value per sample and row, {shape}, got {value.shape}")
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "function": wrap_non_picklable_objects(self.function, keep_wrapper=False)}
