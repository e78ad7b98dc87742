"""Simulation-based calibration: a model fitted to tables drawn from its own prior, where the true values are known.

If inference is right, the rank of the true value among posterior draws is uniform over many tables, for every quantity.
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

from bayestl import streams
from bayestl.diagnostics.draws import RowDraws, draw_labels
from bayestl.models.crossfit import refitted
from bayestl.parallel import in_parallel
from bayestl.streams import spawn
from bayestl.table.measured import Measured
from bayestl.table.scaler import Scaler
from bayestl.table.table import Table, build_table

if TYPE_CHECKING:
    from bayestl.models.base import BayesianModel

DRAWS = 25
"""Number of draws from each posterior (thinned for Markov chains); ranks take this number plus one values."""
AT_ROWS = 3
"""Number of rows at which latent values are ranked."""
UNSIGNED = ("a",)
"""Loadings, whose signs may flip together: their absolute values are ranked."""


@dataclass
class Calibration:
    """Result of :func:`simulate_calibration`.

    Attributes
    ----------
    ranks : DataFrame
        One row per table, one column per quantity: the rank of the true value among the posterior draws, made
        continuous by random numbers, as a number between 0 and 1.
    failures : list of str
        The tables whose fit raised, with the error.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x, Y = np.linspace(0, 1, 8)[:, None], pd.DataFrame({"gap": np.zeros(8)})
    >>> model = btl.IndependentGP(hyperparameters="map", n_starts=1)
    >>> calibration = btl.evaluation.simulate_calibration(model, x, Y, n_tables=2, verbose=False)
    >>> calibration.table.columns.tolist()
    ['tables', 'p value', 'mean', 'spread']
    """

    ranks: pd.DataFrame
    failures: list[str]

    @property
    def table(self) -> pd.DataFrame:
        """One row per quantity: ``p value`` of uniform ranks (Kolmogorov-Smirnov), their ``mean`` and ``spread``.

        ``spread`` is the standard deviation relative to a uniform's: above one, posteriors are too narrow; below, too
        wide.  A ``mean`` above one half says that posteriors are too low.
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
        """The p value of all ranks being uniform: the smallest one times the number of quantities (Bonferroni)."""
        p_values = self.table["p value"]
        return float(min(1.0, p_values.min() * len(p_values)))

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
    """Draw tables from a model's prior, fit the model to each, and rank the true values among the posterior draws.

    Parameters
    ----------
    model : BayesianModel
        An unfitted model that can draw from its prior (:class:`~bayestl.IndependentGP`, :class:`~bayestl.MultiTaskGP`,
        :class:`~bayestl.DifferenceGP`, :class:`~bayestl.LatentVariableGP`).
    X : DataFrame or ndarray, shape (n, d)
        Features of every table; scaled once, as in ``fit``.
    Y : DataFrame, shape (n, T)
        A template of the labels: only which are missing, and the classes, are used.
    groups : array-like, optional
        Groups of the rows, as for ``fit``.
    n_tables : int
        Number of tables; 200 detect widths that are wrong by about 10 %.
    seed : int
        Seed of the tables and fits, which repeat exactly.
    n_jobs : int, optional
        Number of processes, as in joblib.
    verbose : bool
        Whether to show progress on a terminal.

    Returns
    -------
    Calibration
        Ranks of the hyperparameters, and of the latent values of a few rows.

    Raises
    ------
    ValueError
        If the model has no draws from its prior, or every fit failed.

    Notes
    -----
    The labels of a drawn table are not rescaled, so the fit uses the prior that they were drawn from.  A table whose
    labels cannot be fitted (all of one class) is left out and listed in ``failures``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x, Y = np.linspace(0, 1, 8)[:, None], pd.DataFrame({"gap": np.zeros(8)})
    >>> model = btl.IndependentGP(hyperparameters="map", n_starts=1)
    >>> calibration = btl.evaluation.simulate_calibration(model, x, Y, n_tables=2, verbose=False)
    >>> len(calibration.ranks)
    2
    """
    if not (isinstance(n_tables, int | np.integer) and n_tables >= 1):
        raise ValueError(f"n_tables must be a positive integer, got {n_tables!r}")
    table = build_table(X, Y, groups=groups, tasks=model._given_tasks(), suggest=False)
    scaled = Scaler.of(table).features(table.x)
    template = replace(table, x=scaled)
    member = clone(model).set_params(verbose=False)
    member._prior_at_table(template, seed)  # raises here, not in every process, if the model cannot draw
    jobs = [(member, template, spawn(seed, "table", i)) for i in range(int(n_tables))]
    rows: dict[int, dict[str, float]] = {}
    failures = []
    for i, result in enumerate(in_parallel(_ranks_of_table, jobs, n_jobs, "drawn tables", verbose)):
        if isinstance(result, str):
            failures.append(f"table {i}: {result}")
        else:
            rows[i] = result
    if not rows:
        raise ValueError(f"every fit failed; the first: {failures[0]}")
    return Calibration(pd.DataFrame.from_dict(rows, orient="index"), failures)


def _ranks_of_table(model: BayesianModel, template: Table, seed: int) -> dict[str, float] | str:
    """The ranks of one drawn table, or the error message of its fit."""
    truth, drawn = drawn_table(model, template, seed)
    try:
        member = refitted(model, drawn, Scaler.identity(drawn), spawn(seed, "fit"))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    draws = member._draws_at_rows(DRAWS, spawn(seed, "draws"))
    return ranks(truth, draws, drawn, streams.generator(seed, "ranks"))


def drawn_table(model: BayesianModel, template: Table, seed: int) -> tuple[RowDraws, Table]:
    """One draw from the model's prior at the rows of a table, and the table with labels drawn from it."""
    truth = model._prior_at_table(template, spawn(seed, "true values"))
    return truth, with_labels(template, truth, seed)


def with_labels(template: Table, truth: RowDraws, seed: int) -> Table:
    """The table with labels drawn from the first draw of ``truth``, where the template has labels."""
    generator = streams.generator(seed, "labels")
    all_rows = np.arange(len(template.x))
    unit_scaler = Scaler.identity(template)
    y = template.y.copy()
    for t in range(len(template.tasks)):
        drawn = draw_labels(template, unit_scaler, truth, t, all_rows, generator)[0]
        y[:, t] = np.where(template.present[:, t], drawn, np.nan)
    return replace(template, labels=Measured.of(y, template.labels.se))


def ranks(truth: RowDraws, draws: RowDraws, table: Table, generator: np.random.Generator) -> dict[str, float]:
    """The rank of each quantity's true value among D draws, between 0 and 1, uniform between neighbouring draws."""
    rank_of: dict[str, float] = {}

    def rank(name: str, true: np.ndarray, drawn: np.ndarray) -> None:
        """Add the ranks of ``true`` (...) among ``drawn`` (D, ...) to the result."""
        below = (drawn < true).sum(axis=0) + generator.integers(0, (drawn == true).sum(axis=0) + 1)
        values = (below + generator.uniform(size=true.shape)) / (len(drawn) + 1)
        for position, value in np.ndenumerate(values):
            rank_of[f"{name}{list(position)}" if position else name] = float(value)

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
    return rank_of
