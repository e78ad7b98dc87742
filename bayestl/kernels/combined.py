"""Kernels over named blocks of features as a user writes them, and their sums and products.

    Kernel("matern52", "MagpieData*") + Kernel("rbf", ["H", "C", "O"])
    Kernel("rbf", "T") * Kernel("rbf", "frac*")

A description holds no learnt numbers; :func:`build_kernel` makes the covariance function of a fit from it, always of
unit variance (the weights of a sum add up to one).  Duvenaud 2014, *Automatic model construction with Gaussian
processes*.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any

import torch
from gpytorch.priors import NormalPrior
from torch import Tensor

from bayestl.kernels.hyperpriors import register_real
from bayestl.kernels.stationary import KERNELS, Pull, UnitKernel


class Covariance(ABC):
    """A description of a covariance function over features; ``+`` and ``*`` combine two."""

    def __add__(self, other: Covariance) -> Sum:
        if not isinstance(other, Covariance):
            return NotImplemented
        return Sum((*_terms(self, Sum), *_terms(other, Sum)))

    def __mul__(self, other: Covariance) -> Product:
        if not isinstance(other, Covariance):
            return NotImplemented
        return Product((*_terms(self, Product), *_terms(other, Product)))

    @abstractmethod
    def build(self, columns: Sequence[str]) -> UnitKernel:
        """The covariance function over inputs with these names, its hyperparameters at their starting values.

        Raises
        ------
        ValueError
            If a block names no column.
        """


def _terms(covariance: Covariance, kind: type[Sum] | type[Product]) -> tuple[Covariance, ...]:
    return covariance.terms if isinstance(covariance, kind) else (covariance,)


@dataclass(frozen=True)
class Kernel(Covariance):
    """A stationary kernel with one length scale per feature of a block.

    Parameters
    ----------
    name : {"matern52", "matern32", "rbf", "exponential", "rational-quadratic", "sparse-matern52", "sparse-rbf"}
        The sparse kernels expect that few features matter; average over their hyperparameters
        (``hyperparameters="mcmc"``).
    columns : str or sequence of str, optional
        Names of the block's features; ``*`` stands for any characters.  Default: all.

    Examples
    --------
    >>> import bayestl as btl
    >>> model = btl.MultiTaskGP(kernel=btl.Kernel("matern52", "MagpieData*") + btl.Kernel("rbf", ["O", "S"]))
    """

    name: str = "matern52"
    columns: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.name not in KERNELS:
            raise ValueError(f"kernel must be one of {sorted(KERNELS)}, got {self.name!r}")
        if self.columns is None or isinstance(self.columns, str):
            return
        names = tuple(self.columns)
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"kernel {self.name!r}: columns must be names of features as text, got {self.columns!r}")
        object.__setattr__(self, "columns", names)

    def build(self, columns: Sequence[str]) -> UnitKernel:
        if self.columns is None:
            return KERNELS[self.name](len(columns))
        patterns = [self.columns] if isinstance(self.columns, str) else list(self.columns)
        for pattern in patterns:
            if not any(_is_named(c, pattern) for c in columns):
                shown = ", ".join(map(repr, columns[:6])) + (", ..." if len(columns) > 6 else "")
                raise ValueError(f"kernel {self.name!r}: no feature is named {pattern!r}; the features are {shown}")
        chosen = [i for i, c in enumerate(columns) if any(_is_named(c, p) for p in patterns)]
        return OnBlock(KERNELS[self.name](len(chosen)), chosen)


def _is_named(column: str, pattern: str) -> bool:
    """Whether a pattern is the name of a column; ``*`` stands for any characters, all others for themselves."""
    return column == pattern or re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), column) is not None


@dataclass(frozen=True)
class Sum(Covariance):
    """A sum of covariances: the function is a sum of independent functions, one per term."""

    terms: tuple[Covariance, ...]

    def build(self, columns: Sequence[str]) -> UnitKernel:
        return _WeightedSum([term.build(columns) for term in self.terms])


@dataclass(frozen=True)
class Product(Covariance):
    """A product of covariances: rows are correlated only where they are alike in all blocks."""

    terms: tuple[Covariance, ...]

    def build(self, columns: Sequence[str]) -> UnitKernel:
        return _Product([term.build(columns) for term in self.terms])


def build_kernel(kernel: str | Covariance, columns: Sequence[str]) -> UnitKernel:
    """A covariance function of unit variance over inputs with the given names, from a kernel's name or a description.

    Raises
    ------
    ValueError
        For an unknown name, or a block that names no column.
    """
    if isinstance(kernel, Covariance):
        return kernel.build(list(columns))
    if not isinstance(kernel, str) or kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {sorted(KERNELS)}, or a sum or product of Kernel(...), got {kernel!r}")
    return KERNELS[kernel](len(columns))


def with_sources(kernel: str | Covariance, columns: Sequence[str], sources: Sequence[str]) -> UnitKernel:
    """The covariance function of a function of features and of other tasks' values (``sources``).

    It is a sum of two kernels, one over the sources alone and one over all inputs: a few labels determine the first,
    where the second has many features to separate.
    """
    if not sources:
        return build_kernel(kernel, columns)
    over_all = kernel if isinstance(kernel, Covariance) else Kernel(kernel)
    over_sources = Kernel(kernel if isinstance(kernel, str) else "matern52", list(sources))
    return build_kernel(over_sources + over_all, [*columns, *sources])


def to_document(kernel: str | Covariance) -> Any:
    """A JSON value for a kernel's name or description."""
    if isinstance(kernel, Kernel):
        columns = kernel.columns if kernel.columns is None or isinstance(kernel.columns, str) else list(kernel.columns)
        return {"kernel": kernel.name, "columns": columns}
    if isinstance(kernel, Sum | Product):
        return {type(kernel).__name__.lower(): [to_document(term) for term in kernel.terms]}
    return kernel


def from_document(value: Any) -> str | Covariance:
    """The kernel's name or description from its JSON value: the inverse of :func:`to_document`.

    Raises
    ------
    ValueError
        If ``value`` is not such a document.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if value.keys() == {"kernel", "columns"}:
            return Kernel(value["kernel"], value["columns"])
        for name, kind in (("sum", Sum), ("product", Product)):
            if value.keys() == {name}:
                terms = tuple(from_document(v) for v in value[name])
                return kind(tuple(t if isinstance(t, Covariance) else Kernel(t) for t in terms))
    raise ValueError(f"not a kernel: {value!r}")


class OnBlock(UnitKernel):
    """A kernel over a subset of the features."""

    def __init__(self, base: UnitKernel, columns: Sequence[int]) -> None:
        super().__init__()
        self.base = base
        self.register_buffer("columns", torch.tensor(columns))

    def argument(self) -> Tensor:
        return self.base.argument()

    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        block1 = x1.index_select(-1, self.columns)
        return self.base.covariance(argument, block1, block1 if x1 is x2 else x2.index_select(-1, self.columns))

    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        block1 = x1[:, self.columns]
        return self.base.evaluate(argument, block1, block1 if x1 is x2 else x2[:, self.columns])

    def metric(self, argument: Tensor, d: int) -> Tensor:
        of_block = self.base.metric(argument, len(self.columns))
        return of_block.new_zeros(d).index_add(0, self.columns, of_block)


class _Terms(UnitKernel):
    """Base of the kernels that combine several terms, each evaluated separately."""

    def __init__(self, terms: Sequence[UnitKernel]) -> None:
        super().__init__()
        self.terms: Any = torch.nn.ModuleList(terms)
        self.sizes = [term.argument().numel() for term in terms]

    def covariances(self, arguments: Tensor, x1: Tensor, x2: Tensor) -> list[Tensor]:
        """``k_b(x1_i, x2_j)`` (..., n, m) of each term b."""
        return [t.covariance(a, x1, x2) for t, a in zip(self.terms, arguments.split(self.sizes, dim=-1), strict=True)]

    def evaluate_terms(self, arguments: Tensor, x1: Tensor, x2: Tensor) -> tuple[list[Tensor], list[Pull]]:
        """``k_b(x1_i, x2_j)`` (..., n, m) of each term b, and the pull-back of a gradient with respect to it."""
        pairs = [t.evaluate(a, x1, x2) for t, a in zip(self.terms, arguments.split(self.sizes, dim=-1), strict=True)]
        return [value for value, _ in pairs], [pull for _, pull in pairs]

    def metrics(self, arguments: Tensor, d: int) -> list[Tensor]:
        """The metric (d,) of each term."""
        return [t.metric(a, d) for t, a in zip(self.terms, arguments.split(self.sizes, dim=-1), strict=True)]


class _WeightedSum(_Terms):
    """``sum_b w_b k_b``, ``w = softmax(raw)``, ``raw_b ~ N(0, 1)``."""

    def __init__(self, terms: Sequence[UnitKernel]) -> None:
        super().__init__(terms)
        register_real(self, "log_weight", torch.zeros(len(terms)), NormalPrior(0.0, 1.0))

    def argument(self) -> Tensor:
        return torch.cat([self.log_weight.softmax(0), *(term.argument() for term in self.terms)])

    def split(self, argument: Tensor) -> tuple[list[Tensor], Tensor]:
        """The weight (..., 1, 1) of each term, and the arguments of all terms."""
        k = len(self.sizes)
        return [argument[..., b, None, None] for b in range(k)], argument[..., k:]

    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        weights, arguments = self.split(argument)
        return reduce(add, map(mul, weights, self.covariances(arguments, x1, x2)))

    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        weights, arguments = self.split(argument)
        values, pulls = self.evaluate_terms(arguments, x1, x2)

        def pull(gradient: Tensor) -> Tensor:
            in_weights = torch.stack([(gradient * value).sum(dim=(-2, -1)) for value in values], dim=-1)
            return torch.cat([in_weights, *(p(gradient * w) for p, w in zip(pulls, weights, strict=True))], dim=-1)

        return reduce(add, map(mul, weights, values)), pull

    def metric(self, argument: Tensor, d: int) -> Tensor:
        weights, arguments = self.split(argument)
        return reduce(add, (w.squeeze() * m for w, m in zip(weights, self.metrics(arguments, d), strict=True)))


class _Product(_Terms):
    """``prod_b k_b``."""

    def argument(self) -> Tensor:
        return torch.cat([term.argument() for term in self.terms])

    def covariance(self, argument: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        return reduce(mul, self.covariances(argument, x1, x2))

    def evaluate(self, argument: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Pull]:
        values, pulls = self.evaluate_terms(argument, x1, x2)

        def pull(gradient: Tensor) -> Tensor:
            others = [reduce(mul, values[:b] + values[b + 1 :], gradient) for b in range(len(values))]
            return torch.cat([p(other) for p, other in zip(pulls, others, strict=True)], dim=-1)

        return reduce(mul, values), pull

    def metric(self, argument: Tensor, d: int) -> Tensor:
        return reduce(add, self.metrics(argument, d))
