"""The gain of transfer by cross-validation: a model against a model of the target alone, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit

from bayestl import streams
from bayestl.evaluation.comparison import SCORES, Comparison
from bayestl.evaluation.cross_validation import compare, splits_of
from bayestl.evaluation.shared_tasks import check_models
from bayestl.metrics import paired_difference
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.whole_table import decided_by
from bayestl.parallel import in_parallel
from bayestl.streams import small_seed
from bayestl.table.columns import label_frame


def transfer_gain(
    model: Any,
    X: Any,
    Y: Any,
    target: str,
    cv: Any = None,
    hide: str = "target",
    alone: Any = None,
    Y_std: Any = None,
    groups: Any = None,
    split_groups: Any = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> pd.Series:
    """The gain of a target from the other tasks: its log predictive density less that of a model of the target alone.

    Parameters
    ----------
    model : model
        An unfitted model of all tasks.
    X, Y, cv, hide, Y_std, groups, split_groups, n_jobs, verbose
        The same as for :func:`~bayestl.compare`.
    target : str
        A column of ``Y``.
    alone : model, optional
        An unfitted model of the target alone; default: :class:`~bayestl.IndependentGP` with the model's kernel and
        ``hyperparameters``, and of :class:`~bayestl.AutoTransfer` one that knows the target only.

    Returns
    -------
    Series
        ``elpd``: expected log predictive density of the model; ``alone``: that of the target alone (both in nats,
        summed over the ``n`` held-out labels); ``difference`` and its standard error ``se`` over labels.  A difference
        below minus two standard errors says that the other tasks harm the target.

    Raises
    ------
    ValueError
        If the target is not a column of ``Y``, if it is the only column, or if a fit fails.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(9 * x[:, 0]), "measured": 1.2 * np.sin(9 * x[:, 0]) + 0.3})
    >>> Y.loc[::3, "measured"] = np.nan
    >>> model = btl.DifferenceGP(["dft", "measured"], hyperparameters="map")
    >>> gain = btl.transfer_gain(model, x, Y, "measured", cv=3, verbose=False)
    >>> bool(gain["difference"] > 0)
    True
    """
    check_models({"": model})
    frame = label_frame(Y, len(X))
    if target not in frame:
        raise ValueError(f"target {target!r} is no column of Y; the columns are {list(frame.columns)}")
    if frame.shape[1] < 2:
        raise ValueError(f"transfer_gain: {target!r} is the only label column, nothing can be transferred")
    alone = clone(_alone(model, X, frame, target, Y_std, groups) if alone is None else alone)
    if alone.tasks is not None:
        alone.set_params(tasks=[task for task in alone.tasks if task.name == target] or None)
    splits = splits_of(cv, np.zeros(len(frame)), frame, split_groups)
    std = None if Y_std is None else label_frame(Y_std, len(frame), "Y_std", list(frame.columns))
    own_std = None if std is None or target not in std else std[[target]]
    given = {"groups": groups, "n_jobs": n_jobs, "verbose": verbose}
    together = compare({"": model}, X, frame, target, splits, hide, Y_std=std, **given)
    single = compare({"": alone}, X, frame[[target]], target, splits, "row", Y_std=own_std, **given)
    if failures := together.failures + single.failures:
        raise ValueError(f"transfer_gain: {failures[0].lstrip(', ')}")
    with_, without = (_densities(c) for c in (together, single))
    difference, se = paired_difference(with_, without)
    values = {"elpd": with_.sum(), "alone": without.sum(), "difference": difference, "se": se, "n": len(with_)}
    return pd.Series(values, name=target)


def _alone(model: Any, X: Any, Y: pd.DataFrame, target: str, Y_std: Any, groups: Any) -> Any:
    """An unfitted model of the target alone, otherwise like a model of all tasks."""
    given = model.get_params(deep=False)
    if not isinstance(model, AutoTransfer):
        return IndependentGP(**{k: v for k, v in given.items() if k in IndependentGP._get_param_names()})
    tasks = decided_by(model, X, Y, Y_std, groups).tasks  # with the likelihoods that the whole table decides
    single = {name: m for name, m in (model.models or {}).items() if isinstance(m, IndependentGP)}
    return AutoTransfer(**given | {"target": None, "models": single or None, "tasks": tasks})


def _densities(comparison: Comparison) -> np.ndarray:
    """Log densities of the held-out labels in the order of the rows."""
    return comparison.predictions.sort_values(["row", "fold"])["log_density"].to_numpy()


def learning_curve(
    models: Mapping[str, Any],
    X: Any,
    Y: Any,
    target: str,
    sizes: Sequence[int] = (10, 20, 40, 80),
    n_repeats: int = 5,
    test_size: float | int = 0.2,
    hide: str = "target",
    seed: int = 0,
    Y_std: Any = None,
    groups: Any = None,
    n_jobs: int | None = None,
    verbose: bool = True,
) -> pd.DataFrame:
    """Scores of each model against the number of training labels of the target; the other tasks keep all their labels.

    Parameters
    ----------
    models : mapping of str to model
        Unfitted models by name.
    X, Y, hide, Y_std, groups, n_jobs, verbose
        The same as for :func:`~bayestl.compare`.
    target : str
        A column of ``Y``.
    sizes : sequence of int
        Numbers of training labels of the target.
    n_repeats : int
        Number of random splits; within a split, larger sizes contain the smaller ones.
    test_size : float or int
        Held-out fraction or number of the rows with a label of the target, as in scikit-learn.
    seed : int
        Seed of the splits.

    Returns
    -------
    DataFrame
        One row per model, size and repeat: ``model``, ``n``, ``seed``, and the scores of :class:`~bayestl.Comparison`;
        drawn by :func:`bayestl.report.plots.plot_learning_curve`.

    Raises
    ------
    ValueError
        If the target is not a column of ``Y``, or a size is larger than its number of training labels.

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayestl as btl
    >>> x = np.linspace(0, 1, 30)[:, None]
    >>> Y = pd.DataFrame({"dft": np.sin(9 * x[:, 0]), "measured": np.sin(9 * x[:, 0]) + 0.3})
    >>> models = {"difference": btl.DifferenceGP(["dft", "measured"], hyperparameters="map", n_starts=1)}
    >>> curve = btl.learning_curve(models, x, Y, "measured", sizes=[5, 10], n_repeats=1, verbose=False)
    >>> curve["n"].tolist()
    [5, 10]
    """
    check_models(models)
    if not np.ndim(sizes) or not all(isinstance(n, int | np.integer) for n in sizes):
        raise ValueError(f"sizes must be a list of whole numbers, such as [10, 20, 40], got {sizes!r}")
    frame = label_frame(Y, len(X))
    if target not in frame:
        raise ValueError(f"target {target!r} is no column of Y; the columns are {list(frame.columns)}")
    if pd.api.types.is_bool_dtype(frame[target]):  # which has no place for a label that is not known
        frame[target] = frame[target].astype(object)
    labelled = np.flatnonzero(frame[target].notna())
    shuffled = ShuffleSplit(n_repeats, test_size=test_size, random_state=small_seed(seed, "splits"))
    splits = list(shuffled.split(labelled))
    if not len(sizes) or min(sizes) < 1 or max(sizes) > len(splits[0][0]):
        raise ValueError(f"sizes must lie between 1 and the {len(splits[0][0])} labels in training, got {list(sizes)}")
    calls = []
    for repeat, (train, test) in enumerate(splits):
        order = labelled[streams.generator(seed, "order of labels", repeat).permutation(train)]
        for n in sizes:
            reduced = frame.copy()
            missing = None if frame[target].dtype == object else np.nan
            reduced.iloc[order[n:], reduced.columns.get_loc(target)] = missing  # by position: names may repeat
            rows = np.setdiff1d(np.arange(len(frame)), labelled[test])
            given = {"Y_std": Y_std, "groups": groups}
            calls.append((dict(models), X, reduced, target, (rows, labelled[test]), hide, given, int(n), repeat))
    frames = in_parallel(_scores_at_size, calls, n_jobs, "learning curve", verbose)
    return pd.concat(frames, ignore_index=True)


def _scores_at_size(
    models: dict[str, Any],
    X: Any,
    Y: pd.DataFrame,
    target: str,
    split: tuple[np.ndarray, np.ndarray],
    hide: str,
    given: dict[str, Any],
    n: int,
    repeat: int,
) -> pd.DataFrame:
    """Scores of the models on one split, with ``n`` training labels of the target.

    ``given`` are the standard errors and groups of the whole table.
    """
    train = split[0]  # what a model chooses by the number of labels, it chooses by those in training
    of_training = X.iloc[train] if isinstance(X, pd.DataFrame) else np.asarray(X)[train]
    chosen = {name: decided_by(model, of_training, Y.iloc[train]) for name, model in models.items()}
    scores = compare(chosen, X, Y, target, [split], hide, **given, n_jobs=1, verbose=False).scores
    return scores.assign(n=n, seed=repeat)[["model", "n", "seed", *SCORES]]
