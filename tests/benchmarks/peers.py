"""Peers: time to fit, rows predicted in a second and error of bayestl and of other libraries, on the table of ``speed.py``.

Every fit has a process of its own with one thread, and at most :data:`LIMIT` seconds of a core; a library that takes longer is
not tried with more labels.  Times are seconds of a core, whatever else the machine does; the libraries take turns, and times are
also given as multiples of DifferenceGP's in the same turn.  Errors are those of the latent function of the target on 1000 fresh rows; rows are
predicted with standard deviations.  GPBoost and the IndependentGP beside it know the labels of the target alone.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SIZES = ((400, 100), (800, 200), (1600, 400), (6400, 1600))
"""Labels of the source and of the target."""
LIMIT = 300
"""Most seconds of a core for one fit and its predictions."""
ROWS = 4096
"""Rows predicted to measure the speed of predictions."""
FIRST_ROWS = 512
"""Rows on which the best settings of BoTorch fit the hyperparameters first."""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
Array = np.ndarray
Predict = Callable[[Array], tuple[Array, Array]]
"""From new features (n, d) to mean and standard deviation (n,) of the target."""
Long = tuple[Array, Array, Array]
"""Features (n, d), the task (n,) and the label (n,) of each label."""


def difference(labels: Long) -> Predict:
    """DifferenceGP with its defaults."""
    import bayestl as btl

    return _fitted(btl.DifferenceGP(levels=["low", "high"], verbose=False), labels)


def multi_task(labels: Long) -> Predict:
    """MultiTaskGP with its defaults."""
    import bayestl as btl

    return _fitted(btl.MultiTaskGP(verbose=False), labels)


def independent(labels: Long) -> Predict:
    """IndependentGP of the target alone."""
    import bayestl as btl

    x, task, y = labels
    model = btl.IndependentGP(verbose=False).fit(x[task == 1], pd.DataFrame({"high": y[task == 1]}))
    return _of_posterior(model)


def _fitted(model: Any, labels: Long) -> Predict:
    x, task, y = labels
    Y = pd.DataFrame({name: np.where(task == t, y, np.nan) for t, name in enumerate(("low", "high"))})
    return _of_posterior(model.fit(x, Y))


def _of_posterior(model: Any) -> Predict:
    def predict(x: Array) -> tuple[Array, Array]:
        post = model.posterior(x, noise=False)
        return post.mean["high"].to_numpy(), post.std["high"].to_numpy()

    return predict


def botorch_defaults(labels: Long) -> Predict:
    """BoTorch's MultiTaskGP as it comes, features in the unit cube."""
    return _botorch(labels, best=False)


def botorch_best(labels: Long) -> Predict:
    """The same by Cholesky at every size, its hyperparameters fitted to 512 labels first."""
    return _botorch(labels, best=True)


def _botorch(labels: Long, best: bool) -> Predict:
    import gpytorch
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import MultiTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x, task, y = labels
    torch.manual_seed(0)

    def model_of(rows: Array) -> Any:
        inputs = torch.as_tensor(np.column_stack([x[rows], task[rows]]))
        return MultiTaskGP(inputs, torch.as_tensor(y[rows])[:, None], task_feature=x.shape[1])

    def maximise(model: Any) -> None:
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

    everything = np.arange(len(y))
    model = model_of(everything)
    exact = gpytorch.settings.max_cholesky_size(10**6 if best else gpytorch.settings.max_cholesky_size.value())
    with exact:
        if best and len(y) > FIRST_ROWS:
            small = model_of(np.random.default_rng(0).permutation(everything)[:FIRST_ROWS])
            maximise(small)
            state = small.state_dict()
            own = model.state_dict()
            model.load_state_dict(
                {k: v if v.shape == own[k].shape and "outcome" not in k else own[k] for k, v in state.items()}
            )
        maximise(model)

    def predict(new: Array) -> tuple[Array, Array]:
        at = torch.as_tensor(np.column_stack([new, np.ones(len(new))]))
        with torch.no_grad(), exact:
            parts = [model.posterior(rows) for rows in at.split(1024)]
            mean, variance = (torch.cat([getattr(p, name) for p in parts])[:, 0] for name in ("mean", "variance"))
        return mean.numpy(), variance.clamp_min(0).sqrt().numpy()

    return predict


def smt(labels: Long) -> Predict:
    """SMT's multi-fidelity kriging, with the noise estimated."""
    from smt.applications import MFK

    x, task, y = labels
    model = MFK(theta0=[0.1] * x.shape[1], eval_noise=True, print_global=False)
    model.set_training_values(x[task == 0], y[task == 0], name=0)
    model.set_training_values(x[task == 1], y[task == 1])
    model.train()

    def predict(new: Array) -> tuple[Array, Array]:
        variance = model.predict_variances(new)[:, 0]
        return model.predict_values(new)[:, 0], np.sqrt(np.maximum(variance, 0.0))

    return predict


def scikit_learn(labels: Long) -> Predict:
    """scikit-learn's Gaussian process, the task one more feature."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x, task, y = labels
    kernel = ConstantKernel() * Matern(np.ones(x.shape[1] + 1), (1e-2, 1e4), nu=2.5) + WhiteKernel(0.01, (1e-6, 1.0))
    model = GaussianProcessRegressor(kernel, normalize_y=True).fit(np.column_stack([x, task]), y)

    def predict(new: Array) -> tuple[Array, Array]:
        parts = [
            model.predict(rows, return_std=True)
            for rows in np.array_split(np.column_stack([new, np.ones(len(new))]), 8)
        ]
        mean, sd = (np.concatenate(v) for v in zip(*parts, strict=True))
        return mean, sd

    return predict


def gpboost(labels: Long) -> Predict:
    """GPBoost's Gaussian process of the target alone."""
    import gpboost as gpb

    x, task, y = labels
    own = np.flatnonzero(task == 1)
    centre = y[own].mean()
    model = gpb.GPModel(gp_coords=x[own], cov_function="matern_ard", cov_fct_shape=2.5, likelihood="gaussian")
    model.fit(y=y[own] - centre)

    def predict(new: Array) -> tuple[Array, Array]:
        out = model.predict(gp_coords_pred=new, predict_var=True, predict_response=False)
        return out["mu"] + centre, np.sqrt(np.maximum(out["var"], 0.0))

    return predict


MODULES = {
    "bayestl": ("bayestl.models.exact.difference", "bayestl.models.exact.multitask"),
    "botorch": ("botorch.fit", "botorch.models"),
    "smt": ("smt.applications",),
    "sklearn": ("sklearn.gaussian_process",),
    "gpboost": ("gpboost",),
}
"""What a library imports, outside the time of its fit."""
PEERS: dict[str, tuple[Callable[[Long], Predict], str]] = {
    "DifferenceGP": (difference, "bayestl"),
    "MultiTaskGP": (multi_task, "bayestl"),
    "BoTorch MultiTaskGP, defaults": (botorch_defaults, "botorch"),
    "BoTorch MultiTaskGP, best": (botorch_best, "botorch"),
    "SMT MFK": (smt, "smt"),
    "scikit-learn, task as an input": (scikit_learn, "sklearn"),
    "IndependentGP, target alone": (independent, "bayestl"),
    "GPBoost, target alone": (gpboost, "gpboost"),
}
"""Each library's fit, and the package that it needs."""


def measured(name: str, n_low: int, n_high: int, seed: int) -> dict[str, float]:
    """Seconds to fit, rows predicted in a second, and error of one library."""
    from benchmarks.speed import table

    x, Y, fresh, truth = table(n_low, n_high, seed)
    row, task = np.nonzero(Y.notna().to_numpy())
    labels = x[row], task, Y.to_numpy()[row, task]
    for module in MODULES[PEERS[name][1]]:
        import_module(module)
    start = time.process_time()
    predict = PEERS[name][0](labels)
    seconds = time.process_time() - start
    error = predict(fresh)[0] - truth
    rows = np.random.default_rng(seed + 1).random((ROWS, x.shape[1]))
    start = time.process_time()
    predict(rows)
    return {
        "fit, s": seconds,
        "rows/s": ROWS / (time.process_time() - start),
        "RMSE": float(np.sqrt(np.mean(error**2))),
    }


def in_process(name: str, n_low: int, n_high: int, seed: int) -> dict[str, float] | None:
    """The figures of :func:`measured` from a process of its own; None where it takes longer than :data:`LIMIT`.

    Raises
    ------
    RuntimeError
        If the fit fails.
    """
    command = [sys.executable, __file__, name, *map(str, (n_low, n_high, seed))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode == -signal.SIGXCPU:
        return None
    if done.returncode:
        raise RuntimeError(f"{name} failed with {n_low} + {n_high} labels: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


class Result:
    """The figures of every turn, and the libraries that are absent."""

    def __init__(self, records: pd.DataFrame, absent: Sequence[tuple[str, str]]) -> None:
        self.records, self.absent = records, absent

    def table(self) -> pd.DataFrame:
        """Medians over the turns, in brackets the least and the greatest."""
        rows = {}
        for (labels, model), turns in self.records.groupby(["labels", "model"], sort=False):
            if turns["fit, s"].isna().any():
                rows[labels, model] = [f"> {LIMIT}", "", "", ""]
                continue
            spread = [_spread(turns[name], digits) for name, digits in (("fit, s", 1), ("times DifferenceGP", 1))]
            rows[labels, model] = [*spread, _spread(turns["rows/s"], 0), _spread(turns["RMSE"], 3)]
        columns = ["fit, s", "times DifferenceGP", "rows/s", "RMSE"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table.index = pd.MultiIndex.from_tuples(table.index, names=["labels", "model"])
        return table

    @property
    def figures(self) -> pd.DataFrame:
        """The table."""
        return self.table()

    def __str__(self) -> str:
        missing = [f"{name}: not installed (pip install {package})" for name, package in self.absent]
        return "\n".join([self.table().to_string(), *missing])

    def write(self, folder: Path) -> None:
        """Write the records as CSV, and time and error against the number of labels as a picture."""
        from matplotlib.figure import Figure

        self.records.to_csv(folder / "peers.csv", index=False)
        figure = Figure(figsize=(9.0, 3.7), layout="constrained")
        axes = figure.subplots(1, 2)
        for model, turns in self.records.dropna().groupby("model", sort=False):
            middle = turns.groupby("n")[["fit, s", "RMSE"]].median()
            own = PEERS[str(model)][1] == "bayestl"
            for ax, name in zip(axes, middle, strict=True):
                ax.plot(middle.index, middle[name], "o-" if own else "s--", ms=4, lw=1.8 if own else 1.1, label=model)
        for ax, name in zip(axes, ("seconds of a core to fit", "RMSE of the target"), strict=True):
            ax.set(xscale="log", yscale="log", xlabel="labels", ylabel=name)
            ax.spines[["top", "right"]].set_visible(False)
        axes[1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(folder / "peers.png", dpi=130)


def _spread(values: pd.Series, digits: int) -> str:
    low, middle, high = (f"{v:.{digits}f}" for v in (values.min(), values.median(), values.max()))
    return middle if low == high else f"{middle} ({low} to {high})"


def run(n_repeats: int = 3, only: Sequence[str] | None = None, verbose: bool = True) -> Result:
    """Every library (``only``: these) at each of :data:`SIZES`, in ``n_repeats`` turns on as many tables."""
    from bayestl.progress import progress
    from bayestl.studies import choose

    chosen = choose(PEERS, list(only) if only else None)
    absent = [(name, package) for name, (_, package) in chosen.items() if find_spec(package) is None]
    present = [name for name in chosen if name not in dict(absent)]
    records: list[dict[str, Any]] = []
    slow: set[str] = set()
    with progress("peers", total=len(SIZES) * n_repeats * len(present), verbose=verbose) as update:
        for n_low, n_high in SIZES:
            for seed in range(n_repeats):
                for name in (n for n in present if n not in slow):
                    update(description=f"peers: {n_low} + {n_high}, {name}")
                    figures = in_process(name, n_low, n_high, seed)
                    slow |= set() if figures else {name}
                    labels = {"labels": f"{n_low} + {n_high}", "n": n_low + n_high, "model": name, "turn": seed}
                    records.append(labels | (figures or {"fit, s": np.nan, "rows/s": np.nan, "RMSE": np.nan}))
                    update(completed=len(records))
    frame = pd.DataFrame(records)
    base = frame[frame["model"] == "DifferenceGP"].set_index(["n", "turn"])["fit, s"]
    of_turn = pd.MultiIndex.from_frame(frame[["n", "turn"]])
    frame["times DifferenceGP"] = frame["fit, s"].to_numpy() / base.reindex(of_turn).to_numpy()
    return Result(frame, absent)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    warnings.simplefilter("ignore")
    print(json.dumps(measured(sys.argv[1], *map(int, sys.argv[2:]))))
