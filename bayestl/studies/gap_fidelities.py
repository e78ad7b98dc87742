"""Case F at full size: band gaps by five fidelities in one model, metals included.

For each of the target fidelities ``KFold(5, shuffle=True, random_state=0)`` over its compositions.  ``hide="target"``: a
held-out composition keeps its gaps by the other fidelities; ``hide="row"``: nothing is known of it.  One fit serves all
targets: with ``hide="target"`` the held-out labels of each are left out of the table, with ``hide="row"`` the held-out
compositions of all of them.  Targets are predicted alone, with PBE gaps, and with all.  The model is a chain whose labels
are inputs (:class:`~bayestl.ChainGP`), on the features themselves: every calculation and the measurement follow another
fidelity, in the order of :data:`LEVELS`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from bayestl import streams
from bayestl.datasets import load_band_gap_fidelities
from bayestl.evaluation.cross_validation import HIDE, label_scores
from bayestl.files.output import write_output
from bayestl.likelihoods import Gaussian, Hurdle, PowerNormal
from bayestl.models.chain.model import ChainGP
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.parallel import in_parallel
from bayestl.studies.draws import formula_features
from bayestl.studies.gap_fidelity_scores import Offsets, Scores
from bayestl.table.measured import Measured
from bayestl.table.task import Task

FOLDER = Path("fidelities-of-gaps")
"""The output folder where none is named."""
SOURCE, TARGETS = "pbe", ("expt", "hse", "gllb_sc", "scan")
LEVELS = {"pbe": None, "hse": "pbe", "scan": "pbe", "gllb_sc": "pbe", "expt": "pbe"}
"""The fidelity that each one follows."""
MODELS = ("alone", "PBE", "all")
"""What is known beside the target."""
POWER = 0.75
"""Gaps above zero are normal on the scale of this power."""
N_FOLDS = 5


class Fit(NamedTuple):
    """One fit: what is known beside the target, what a held-out composition keeps, the fold, and PBE labels (0: all)."""

    model: str
    hide: str
    fold: int
    n_pbe: int = 0

    def file(self, target: str) -> str:
        """The name of the file with its predictions of a target."""
        some = f"-{self.n_pbe}" if self.n_pbe else ""
        return f"{self.hide}-{self.model}-{self.fold}-{target}{some}.csv"


def run(
    folder: Path = FOLDER,
    targets: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    hide: str = "target",
    sizes: Sequence[int] | None = None,
    n_jobs: int | None = 1,
    verbose: bool = True,
) -> Scores:
    """Run the protocol, or what is missing of it.

    Parameters
    ----------
    folder : Path
        Where predictions are written, fit by fit; a run into the same folder goes on with what is not there yet.
    targets : sequence of str, optional
        Some of :data:`TARGETS`; by default all.
    folds : sequence of int, optional
        Some of the folds 0 to 4; by default all.
    only : sequence of str, optional
        Some of :data:`MODELS`; by default all.
    hide : {"target", "row"}
        What a held-out composition loses.
    sizes : sequence of int, optional
        Numbers of PBE labels in training; by default all of them.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.

    Returns
    -------
    Scores
        Of all that is in the folder.

    Raises
    ------
    ValueError
        For an unknown target, fold or model.
    """
    chosen = _some("target", targets, TARGETS), _some("fold", folds, range(N_FOLDS)), _some("model", only, MODELS)
    if hide not in HIDE:
        raise ValueError(f"hide must be one of {HIDE}, got {hide!r}")
    numbers = {model: (0,) if model == "alone" else sizes or (0,) for model in chosen[2]}
    fits = [Fit(model, hide, fold, n) for fold in chosen[1] for model, of_model in numbers.items() for n in of_model]
    missing = {f: [t for t in chosen[0] if not (folder / f.file(t)).is_file()] for f in fits}
    if jobs := [(fit, absent) for fit, absent in missing.items() if absent]:
        data = load_band_gap_fidelities()
        X = formula_features(data.X, verbose=verbose)
        calls = [(X, data.Y, *job, folder) for job in jobs]
        list(in_parallel(predicted, calls, n_jobs, "fidelities of gaps", verbose))
    return Scores.of_folder(folder, chosen[0])


def _some(what: str, chosen: Sequence[Any] | None, of: Sequence[Any]) -> list[Any]:
    if unknown := [name for name in chosen or () if name not in of]:
        raise ValueError(f"no {what} {unknown[0]!r}; there are {list(of)}")
    return list(of if chosen is None else chosen)


def held_out(Y: pd.DataFrame, fold: int) -> dict[str, np.ndarray]:
    """Positions of the held-out compositions of each target."""
    cv, rows = KFold(N_FOLDS, shuffle=True, random_state=0), {t: np.flatnonzero(Y[t].notna()) for t in TARGETS}
    return {t: rows[t][list(cv.split(rows[t]))[fold][1]] for t in TARGETS}


def training_labels(Y: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """The labels of a fit: those of its fold hidden, and of the PBE labels as many as it asks for.

    These are first those of compositions with another label, which say how the two are related.
    """
    labels = Y.copy()
    for t, rows in held_out(Y, fit.fold).items():
        columns = [labels.columns.get_loc(t)] if fit.hide == "target" else list(range(labels.shape[1]))
        labels.iloc[rows, columns] = np.nan
    with_pbe = np.flatnonzero(labels[SOURCE].notna())
    if fit.n_pbe and fit.n_pbe < len(with_pbe):
        others = labels.drop(columns=SOURCE).notna().any(axis=1).to_numpy()[with_pbe]
        order = streams.generator(fit.fold, "PBE labels").permutation(len(with_pbe))
        order = order[np.argsort(~others[order], kind="stable")]
        labels.iloc[with_pbe[order[fit.n_pbe :]], labels.columns.get_loc(SOURCE)] = np.nan
    return labels


def tasks_of(names: Sequence[str]) -> list[Task]:
    """The tasks: a gap is zero or a size, by GLLB-SC a size alone."""
    kinds = {name: PowerNormal(POWER) if name == "gllb_sc" else Hurdle(f"power-{POWER}") for name in names}
    return [Task(name, kind, unit="eV") for name, kind in kinds.items()]


def model_of(model: str, names: Sequence[str], seed: int = 0) -> Any:
    """The unfitted model of some fidelities, by what is known beside the target."""
    common: dict[str, Any] = {"tasks": tasks_of(names), "n_starts": 1, "random_state": seed, "verbose": False}
    if model == "alone":
        return IndependentGP(**common)
    follows = {name: None if name == SOURCE else SOURCE if model == "PBE" else LEVELS[name] for name in names}
    return ChainGP(follows, inputs=None, **common)


def predicted(X: pd.DataFrame, Y: pd.DataFrame, fit: Fit, targets: Sequence[str], folder: Path) -> None:
    """Fit, and write the predictions of the held-out labels of each target as a CSV file."""
    labels, tests = training_labels(Y, fit), held_out(Y, fit.fold)
    member, seconds = None, 0.0
    for t in targets:
        if member is None or fit.model == "alone":
            names = [t] if fit.model == "alone" else list(Y)
            known = labels[names].notna().any(axis=1)
            start = time.perf_counter()
            member = model_of(fit.model, names).fit(X[known], labels.loc[known, names])
            seconds = time.perf_counter() - start
        test = tests[t]
        observed = None
        if fit.hide == "target" and fit.model != "alone":
            observed = Y.iloc[test].assign(**{t: np.nan})
        if observed is not None and fit.model == "PBE":  # under names of their own: no other label of the row is known
            observed = observed.assign(**{c: np.nan for c in Y if c != SOURCE})
        rows = X.iloc[test] if fit.model == "all" else X.iloc[test].rename("new {}".format)
        if observed is not None:
            observed = observed.set_axis(rows.index)
        start = time.perf_counter()
        marginal = member.posterior(rows, observed=observed).marginal(t)
        y = Y[t].to_numpy()[test]
        label = Measured(y, y, np.zeros_like(y))
        frame = pd.DataFrame(label_scores(fit.model, fit.fold, t, test, label, marginal))
        frame = frame.assign(
            hide=fit.hide,
            n_pbe=0 if fit.model == "alone" else int(labels[SOURCE].notna().sum()),
            fit_seconds=seconds,
            predict_seconds=time.perf_counter() - start,
            gigabytes=_peak_memory(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_output(folder / fit.file(t), frame.to_csv(index=False))


def _peak_memory() -> float:
    """The most memory that this process has held, in GB; NaN where the system does not say."""
    try:
        import resource
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def offsets(rows: int | None = None, seed: int = 0, verbose: bool = True) -> Offsets:
    """Scale and offset of each fidelity beside PBE, by a difference model of the gaps of non-metals in eV.

    Parameters
    ----------
    rows : int, optional
        Number of compositions, those with the most labels first; by default all non-metals.
    seed : int
        Seed of the model and of the draws.
    verbose : bool
        Progress on a terminal.
    """
    data = load_band_gap_fidelities()
    gaps = data.Y.where(data.Y > 0).dropna(how="all")
    order = streams.generator(seed, "compositions").permutation(len(gaps))
    order = order[np.argsort(-gaps.notna().sum(axis=1).to_numpy()[order], kind="stable")][:rows]
    gaps = gaps.iloc[np.sort(order)]
    X = formula_features(data.X.loc[gaps.index], verbose=verbose)
    follows = {name: None if name == SOURCE else SOURCE for name in gaps}
    tasks = [Task(name, Gaussian(), unit="eV") for name in gaps]
    model = DifferenceGP(follows, tasks, hyperparameters="map", n_starts=1, random_state=seed, verbose=verbose)
    return Offsets(model.fit(X, gaps).offset_draws(), gaps)
