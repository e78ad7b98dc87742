"""Optimisation with a cheap source: regret against cost, compared with BoTorch's multi-fidelity knowledge gradient.

The functions are those of ``functions.py`` without noise; a source costs a fifth of the target.  Both optimisers start
from the same points.  bayestl uses :class:`~bayestl.DifferenceGP` and the exact knowledge gradient per cost over points
drawn anew each time, half of them near the best so far.  BoTorch uses ``SingleTaskMultiFidelityGP`` and
``qMultiFidelityKnowledgeGradient``, optimised over the cube, as in its tutorial on discrete fidelities.  The
recommended point has the greatest posterior mean of the target, found by BoTorch's optimiser on both models; its regret
is given in standard deviations of the target over the cube.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import qmc

from bayestl.active import as_botorch
from bayestl.active.acquisition.pool import Pool
from bayestl.active.acquisition.rates import rates
from bayestl.active.goals import Maximise
from bayestl.models.exact.difference import DifferenceGP
from bayestl.parallel import in_parallel
from bayestl.studies import choose
from benchmarks.functions import PAIRS, Pair

COSTS = np.array([0.2, 1.0])
"""Costs of the source and of the target."""
CHECKS = (0.0, 1.0, 2.0, 3.0, 5.0)
"""Costs beyond the first points at which the regret is recorded; the last is the budget."""
CANDIDATES = 512
FANTASIES = 32
"""Number of fantasies of BoTorch's knowledge gradient; its tutorial has 128."""
GOAL = Maximise("target")


class Optimiser(ABC):
    """Base class of optimisers: from labels to the next measurement and the recommended point."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair, self.seed = pair, seed

    @abstractmethod
    def fit(self, x: np.ndarray, level: np.ndarray, y: np.ndarray) -> None:
        """Fit to labels y (n,) of points (n, d), of the source where ``level`` is 0 and of the target where it is 1."""

    @abstractmethod
    def next(self, step: int) -> tuple[np.ndarray, int]:
        """The next point (d,), and which of the two functions is measured there."""

    @abstractmethod
    def mean(self) -> Any:
        """BoTorch's acquisition function that is the posterior mean of the target."""

    def recommended(self) -> tuple[np.ndarray, float]:
        """The point (d,) with the greatest posterior mean, and that mean."""
        from botorch.optim import optimize_acqf
        from botorch.utils.sampling import manual_seed

        bounds = torch.tensor([[0.0] * self.pair.d, [1.0] * self.pair.d], dtype=torch.float64)
        with manual_seed(self.seed):
            x, value = optimize_acqf(self.mean(), bounds, q=1, num_restarts=5, raw_samples=512)
        assert value is not None
        return x[0].numpy(), float(value)


class BayestlOptimiser(Optimiser):
    """The difference model with the exact knowledge gradient over drawn points."""

    def fit(self, x: np.ndarray, level: np.ndarray, y: np.ndarray) -> None:
        labels = np.where(level[:, None] == np.arange(2), y[:, None], np.nan)
        self.model = DifferenceGP(["source", "target"], hyperparameters="map", random_state=self.seed, verbose=False)
        self.model.fit(pd.DataFrame(x), pd.DataFrame(labels, columns=["source", "target"]))
        self.best = x[level == 1][int(np.argmax(y[level == 1]))]

    def next(self, step: int) -> tuple[np.ndarray, int]:
        generator = np.random.default_rng([self.seed, step])
        spread = generator.choice([0.02, 0.1, 0.3], CANDIDATES // 2)[:, None]
        near = self.best + spread * generator.standard_normal((CANDIDATES // 2, self.pair.d))
        x = np.concatenate([qmc.Sobol(self.pair.d, seed=generator).random(CANDIDATES // 2), near.clip(0.0, 1.0)])
        unknown = pd.DataFrame(np.nan, range(len(x)), ["source", "target"])
        pool = Pool(pd.DataFrame(x), unknown, np.ones((len(x), 2), dtype=bool), COSTS, ["source", "target"])
        worth = rates(self.model, pool, GOAL, -np.inf, "knowledge-gradient")
        row, level = np.unravel_index(int(np.argmax(worth)), worth.shape)
        return x[row], int(level)

    def mean(self) -> Any:
        from botorch.acquisition import PosteriorMean

        return PosteriorMean(as_botorch(self.model, ["target"]))


class BotorchOptimiser(Optimiser):
    """BoTorch's multi-fidelity model and knowledge gradient."""

    def fit(self, x: np.ndarray, level: np.ndarray, y: np.ndarray) -> None:
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskMultiFidelityGP
        from botorch.models.transforms.outcome import Standardize
        from gpytorch.mlls import ExactMarginalLogLikelihood

        inputs, outputs = torch.from_numpy(np.column_stack([x, level])), torch.from_numpy(y)[:, None]
        self.model = SingleTaskMultiFidelityGP(
            inputs, outputs, data_fidelities=[self.pair.d], outcome_transform=Standardize(m=1)
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(self.model.likelihood, self.model))

    def next(self, step: int) -> tuple[np.ndarray, int]:
        from botorch.acquisition.cost_aware import InverseCostWeightedUtility
        from botorch.acquisition.knowledge_gradient import qMultiFidelityKnowledgeGradient
        from botorch.acquisition.utils import project_to_target_fidelity
        from botorch.models.cost import AffineFidelityCostModel
        from botorch.optim import optimize_acqf_mixed
        from botorch.utils.sampling import manual_seed

        d = self.pair.d
        cost = AffineFidelityCostModel(fidelity_weights={d: COSTS[1] - COSTS[0]}, fixed_cost=COSTS[0])
        current = self.recommended()[1]
        bounds = torch.tensor([[0.0] * (d + 1), [1.0] * (d + 1)], dtype=torch.float64)
        with manual_seed(1000 * self.seed + step):
            function = qMultiFidelityKnowledgeGradient(
                self.model,
                num_fantasies=FANTASIES,
                current_value=torch.tensor(current),
                cost_aware_utility=InverseCostWeightedUtility(cost_model=cost),
                project=lambda X: project_to_target_fidelity(X, target_fidelities={d: 1.0}, d=d + 1),
            )
            x, _ = optimize_acqf_mixed(
                function,
                bounds,
                q=1,
                fixed_features_list=[{d: 0.0}, {d: 1.0}],
                num_restarts=5,
                raw_samples=128,
                options={"batch_limit": 5, "maxiter": 200},
            )
        return x[0, :d].numpy(), round(float(x[0, d]))

    def mean(self) -> Any:
        from botorch.acquisition import PosteriorMean
        from botorch.acquisition.fixed_feature import FixedFeatureAcquisitionFunction

        return FixedFeatureAcquisitionFunction(
            PosteriorMean(self.model), d=self.pair.d + 1, columns=[self.pair.d], values=[1.0]
        )


OPTIMISERS: dict[str, Any] = {"bayestl": BayestlOptimiser, "BoTorch": BotorchOptimiser}


def _play(pair: Pair, name: str, seed: int) -> list[dict[str, Any]]:
    """The regret of one run at each of :data:`CHECKS`."""
    x = qmc.Sobol(pair.d, seed=seed).random_base2(4 if pair.d == 2 else 5)
    level = np.array([0, 0, 1] * len(x))[: len(x)]
    y = np.where(level == 1, pair.target(x), pair.source(x))
    scale = float(pair.target(qmc.Sobol(pair.d, seed=0).random(2**12)).std())
    optimiser = OPTIMISERS[name](pair, seed)
    records: list[dict[str, Any]] = []
    spent, step = 0.0, 0
    while True:
        optimiser.fit(x, level, y)
        following = next((c for c in CHECKS[len(records) :] if c <= spent + 1e-9), None)
        if following is not None:
            point = optimiser.recommended()[0]
            regret = pair.maximum - float(pair.target(point[None])[0])
            records.append(
                {
                    "function": pair.name,
                    "model": name,
                    "seed": seed,
                    "cost": following,
                    "regret": max(regret, 0.0) / scale,
                    "of the target": int(level.sum()),
                    "of the source": int((level == 0).sum()),
                }
            )
        if len(records) == len(CHECKS):
            return records
        point, which = optimiser.next(step)
        value = pair.target(point[None]) if which else pair.source(point[None])
        x, level, y = np.vstack([x, point]), np.append(level, which), np.append(y, value)
        spent, step = spent + float(COSTS[which]), step + 1


class Result:
    """The regrets: one record per function, model, seed and cost."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.records = records

    def table(self) -> pd.DataFrame:
        """The mean over seeds of log10 of the regret with its standard error, and the paired difference."""
        logs = np.log10(self.records["regret"].clip(lower=1e-8))
        wide = self.records.assign(log=logs).pivot_table(
            index=["function", "cost", "seed"], columns="model", values="log"
        )
        grouped = wide.groupby(level=["function", "cost"], sort=False)
        table = pd.concat({"log10 regret": grouped.mean(), "se": grouped.sem()}, axis=1)
        if {"bayestl", "BoTorch"} <= set(wide):
            difference = (wide["bayestl"] - wide["BoTorch"]).groupby(level=["function", "cost"], sort=False)
            table["bayestl less BoTorch"], table["its se"] = difference.mean(), difference.sem()
        return table

    def __str__(self) -> str:
        return self.table().round(2).to_string()

    @property
    def figures(self) -> pd.DataFrame:
        """The table, one row per function, cost and model."""
        table = self.table()
        columns = {"log10 regret": table["log10 regret"].stack(), "se": table["se"].stack()}
        long = pd.DataFrame(columns).rename_axis(index={None: "model"})
        if "its se" in table:
            of_ours = long.index.get_level_values("model") == "bayestl"
            for column, name in (("bayestl less BoTorch", "less BoTorch"), ("its se", "less BoTorch se")):
                long[name] = table[column].reindex(long.index.droplevel("model")).where(of_ours).to_numpy()
        return long

    def write(self, folder: Path) -> None:
        """Write the records as CSV."""
        folder.mkdir(parents=True, exist_ok=True)
        self.records.to_csv(folder / "fidelities.csv", index=False)


def run(n_seeds: int = 5, only: list[str] | None = None, n_jobs: int | None = 2, verbose: bool = True) -> Result:
    """Run each function and model (``only``: names of models) for ``n_seeds`` seeds; botorch is needed."""
    names = list(choose(OPTIMISERS, only))
    jobs = [(pair, name, seed) for seed in range(n_seeds) for pair in PAIRS for name in names]
    per_run = in_parallel(_play, jobs, n_jobs, "optimisations", verbose)
    return Result(pd.DataFrame([record for records in per_run for record in records]))
