"""Simulation-based calibration: a model fitted to tables that were drawn from its own prior, where the truth is known.

Over many tables the rank of the truth among draws from the posterior is uniform, for every quantity, if inference is right.
Talts et al. 2018, *Validating Bayesian inference algorithms with simulation-based calibration*; the band around the
distribution function of the ranks: Saeilynoja, Buerkner, Vehtari 2022, *Graphical test for discrete uniformity*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone

from bayestl.diagnostics.draws import RowDraws, draw_labels
from bayestl.models.crossfit import refitted
from bayestl.parallel import in_parallel
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, build_table

if TYPE_CHECKING:
    from bayestl.models.base import BayesianModel

DRAWS = 25
"""From each posterior, thinned where they are a chain: ranks are on so many plus one values."""
AT_ROWS = 3
"""Rows at which latent values are ranked."""
BAND_DRAWS = 2000
UNSIGNED = ("a",)
"""Loadings, which may change their sign together: their size is ranked."""


@dataclass
class Calibration:
    """Result of :func:`simulate_calibration`.

    Attributes
    ----------
    ranks : DataFrame
        A row a table, a column a quantity: the rank of the truth among the draws, with ties and steps made continuous,
        as a number between 0 and 1.
    failures : list of str
        Tables whose fit raised, with the error.
    """

    ranks: pd.DataFrame
    failures: list[str]

    @property
    def table(self) -> pd.DataFrame:
        """A row a quantity: p value of uniform ranks (Kolmogorov-Smirnov), their mean and standard deviation over a uniform's.

        A ``spread`` above one: posteriors are too narrow; below: too wide.  A ``mean`` above one half: they are too low.
        """
        rows = {}
        for name, ranks in self.ranks.items():
            values = ranks.dropna().to_numpy()
            rows[name] = {
                "tables": len(values),
                "p value": stats.kstest(values, "uniform").pvalue,
                "mean": values.mean(),
                "spread": values.std() * np.sqrt(12),
            }
        return pd.DataFrame(rows).T

    @property
    def p_value(self) -> float:
        """That all are uniform: the smallest p value times the number of quantities (Bonferroni), at most one."""
        each = self.table["p value"]
        return float(min(1.0, each.min() * len(each)))

    def __str__(self) -> str:
        return f"{self.table.round(3).to_string()}\n\nall uniform: p = {self.p_value:.2g} (Bonferroni)"


def simulate_calibration(
    model: BayesianModel,
    X: Any,
    Y: Any,
    groups: Any = None,
    n_tables: int = 200,
    seed: int = 0,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> Calibration:
    """Draw tables from a model's prior, fit it to each, and rank the truth among the posterior's draws.

    Parameters
    ----------
    model : BayesianModel
        Unfitted; it must be able to draw from its prior (:class:`~bayestl.IndependentGP`, :class:`~bayestl.MultiTaskGP`,
        :class:`~bayestl.DifferenceGP`, :class:`~bayestl.LatentVariableGP`).
    X : DataFrame or ndarray, shape (n, d)
        Features of every table; scaled once, as in ``fit``.
    Y : DataFrame, shape (n, T)
        Which labels there are, and of what kind: only where they are missing, and their classes, count.
    groups : array-like, optional
        As for ``fit``.
    n_tables : int
        200 tell widths that are wrong by some 10 %.
    seed : int
        Tables and fits repeat exactly from it.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Calibration
        Of hyperparameters, and of latent values of a few rows.

    Raises
    ------
    ValueError
        If the model has no draws from its prior, or every fit failed.

    Notes
    -----
    The fit is not rescaled by its own labels, so the prior is the one that the table was drawn from.  A table whose drawn
    labels cannot be fitted (all of one class) is left out and named in ``failures``.
    """
    if not (isinstance(n_tables, int | np.integer) and n_tables >= 1):
        raise ValueError(f"n_tables must be a positive integer, got {n_tables!r}")
    table = build_table(X, Y, groups=groups, tasks=model._given_tasks(), suggest=False)
    scaled = Scaler.of(table).features(table.x)
    template = replace(table, x=scaled)
    own = clone(model).set_params(verbose=False)
    own._prior_at_table(template, seed)  # a model without a prior says so here, not in every process
    jobs = [(own, template, seed + i) for i in range(int(n_tables))]
    rows: dict[int, dict[str, float]] = {}
    failures = []
    for i, found in enumerate(in_parallel(_one, jobs, n_jobs, "drawn tables", verbose)):
        if isinstance(found, str):
            failures.append(f"table {seed + i}: {found}")
        else:
            rows[seed + i] = found
    if not rows:
        raise ValueError(f"every fit failed; the first: {failures[0]}")
    return Calibration(pd.DataFrame.from_dict(rows, orient="index"), failures)


def _one(model: BayesianModel, template: Table, seed: int) -> dict[str, float] | str:
    """Ranks of one table, or what went wrong."""
    truth, drawn = drawn_table(model, template, seed)
    fits, rankings = _seeds(seed)[2:]
    try:
        own = refitted(clone(model).set_params(random_state=fits), drawn, Scaler.identity(drawn))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ranks(truth, own._draws_at_rows(DRAWS, fits), drawn, np.random.default_rng(rankings))


def _seeds(seed: int) -> list[int]:
    """For the truth, the noise, the fit and the ranks of a table: what is drawn with one tells nothing of the others."""
    return [int(v) for v in np.random.SeedSequence([1, seed]).generate_state(4)]


def drawn_table(model: BayesianModel, template: Table, seed: int) -> tuple[RowDraws, Table]:
    """A draw from the model's prior at the rows of a table, and the table with labels drawn from it."""
    truths, noises = _seeds(seed)[:2]
    truth = model._prior_at_table(template, truths)
    return truth, with_labels(template, truth, noises)


def with_labels(template: Table, truth: RowDraws, seed: int) -> Table:
    """The table with labels drawn from the first of some draws, where the template has any.

    ``seed`` must not be that of the draws: their latent values and the noise would be the same numbers.
    """
    generator = np.random.default_rng(seed)
    every = np.arange(len(template.x))
    nothing = Scaler.identity(template)
    y = template.y.copy()
    for t in range(len(template.tasks)):
        drawn = draw_labels(template, nothing, truth, t, every, generator)[0]
        y[:, t] = np.where(template.present[:, t], drawn, np.nan)
    return replace(template, y=y, high=y)


def ranks(truth: RowDraws, draws: RowDraws, table: Table, generator: np.random.Generator) -> dict[str, float]:
    """The rank of each quantity's truth among draws (D), between 0 and 1, uniform between neighbours."""
    found: dict[str, float] = {}

    def rank(name: str, true: np.ndarray, drawn: np.ndarray) -> None:
        """``true`` (...) among ``drawn`` (D, ...)."""
        below = (drawn < true).sum(axis=0) + generator.integers(0, (drawn == true).sum(axis=0) + 1)
        values = (below + generator.uniform(size=true.shape)) / (len(drawn) + 1)
        for place, value in np.ndenumerate(values):
            found[f"{name}{list(place)}" if place else name] = float(value)

    for name, variable in truth.variables.items():
        if name in draws.variables:
            true, drawn = variable.values[0], draws.variables[name].values
            if name.split(".")[-1] in UNSIGNED:
                true, drawn = np.abs(true), np.abs(drawn)
            rank(name, np.asarray(true), drawn)
    rows = np.linspace(0, len(table.x) - 1, AT_ROWS).astype(int)
    names = [name for part in table.parts for name in part.names]
    for c, name in enumerate(names):
        for row in rows:
            rank(f"{name}, row {row}", np.asarray(truth.latent[0, row, c]), draws.latent[:, row, c])
    return found


def uniform_band(n: int, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where 95 % of the distribution functions of n uniform ranks lie as wholes, less the uniform's."""
    u = np.sort(np.random.default_rng(0).uniform(size=(BAND_DRAWS, n)), axis=1)
    curves = np.stack([np.searchsorted(row, grid, side="right") for row in u]) / n
    spread = np.sqrt(np.maximum(grid * (1 - grid) / n, 1e-12))
    inner = (grid > 0.005) & (grid < 0.995)
    width = np.quantile(np.abs((curves - grid) / spread)[:, inner].max(axis=1), 0.95)
    return -width * spread, width * spread
