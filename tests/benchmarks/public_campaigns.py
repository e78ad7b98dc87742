"""Campaigns on three public tables of two fidelities: regret and best rows found against cost, beside BoTorch.

Frameworks (Xe/Kr selectivity), hydration free energies and polarisabilities, each with a cheap and a dear quantity of
all candidates, in the setting of Sabanza-Gil et al. 2024 (arXiv 2410.00544, and the code they published): features
scaled to 0..1 (10 principal components of all RDKit descriptors of molecules), the dear quantity made as large as
possible, costs of the cheap one 0.065, 0.1 and 0.167, and a budget of 27 after a start worth 3: two dear labels of rows
far apart and cheap ones of random rows or, for policies that see the dear quantity alone, three dear ones.

BoTorch's models are those of that paper's code: ``SingleTaskGP``, with expected improvement, and
``SingleTaskMultiFidelityGP``, with the knowledge gradient per cost, which over a pool has a closed form: the limit of many
fantasies of ``qMultiFidelityKnowledgeGradient``, without its optimiser.  bayestl's policies are those of a campaign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from bayestl.active.acquisition.batch import Choice
from bayestl.active.acquisition.knowledge import expected_maximum
from bayestl.active.acquisition.pool import TARGET_ROWS, Pool, candidates
from bayestl.active.goals import Maximise
from bayestl.active.policies import ByModel, Decision, Evidence, Policy, Random
from bayestl.datasets import load_frameworks, load_molecules
from bayestl.features.molecule import parse_smiles
from bayestl.files.output import write_output
from bayestl.models.exact.difference import DifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.parallel import in_parallel
from bayestl.streams import spawn
from bayestl.studies import choose
from bayestl.table.task import Task

CHEAP = {"frameworks": 0.065, "freesolv": 0.1, "polarizability": 0.167}
"""Cost of the cheap quantity by table; the dear one costs 1."""
BUDGET = 27.0
CHECKS = tuple(float(cost) for cost in range(28))
"""Costs beyond the start at which the records are taken."""
TOP = 10
"""How many of the best rows count as top candidates."""
COMPONENTS = 10
GOAL = Maximise("dear")
ALONE = ("bayestl EI", "BoTorch EI", "random")
"""Policies that see the dear quantity alone."""


@cache
def table(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features, scaled to 0..1, and labels ``cheap`` and ``dear`` of one of the tables."""
    data = load_frameworks() if name == "frameworks" else load_molecules(name)
    labels = data.Y.set_axis(["cheap", "dear"], axis=1)
    if name == "frameworks":
        X = data.X
    else:
        from rdkit.Chem.Descriptors import CalcMolDescriptors
        from sklearn.decomposition import PCA

        described = pd.DataFrame([CalcMolDescriptors(m) for m in parse_smiles(data.X["smiles"])])
        X = pd.DataFrame(PCA(COMPONENTS, random_state=0).fit_transform(described.to_numpy()))
        labels = -labels if name == "freesolv" else labels  # as in the paper: the most stable in water
    spread = X.max() - X.min()
    X = ((X - X.min()) / spread.where(spread > 0, 1.0)).rename(columns=str)
    return X.reset_index(drop=True), labels.reset_index(drop=True)


def start(X: pd.DataFrame, seed: int, cheap_cost: float, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose dear and whose cheap label is known at the start."""
    generator = np.random.default_rng(seed)
    x = X.to_numpy()
    dear = [int(generator.integers(0, len(x)))]
    while len(dear) < (3 if alone else 2):
        nearest = np.linalg.norm(x[None] - x[dear][:, None], axis=2).min(axis=0)
        dear.append(int(np.argmax(nearest)))
    cheap = [] if alone else generator.choice(len(x), round(1 / cheap_cost), replace=False)
    return np.array(dear), np.array(cheap, dtype=int)


class BotorchPolicy(Policy):
    """BoTorch's Gaussian process of one or of two fidelities, with an acquisition function over the pool."""

    def __init__(self, acquisition: str) -> None:
        self.acquisition = acquisition

    def __repr__(self) -> str:
        return f"BotorchPolicy({self.acquisition!r})"

    def choose(self, choice: Choice, known: Evidence, n: int, seed: int) -> Decision:
        pool = choice.pool
        x, labels = torch.tensor(pool.X.to_numpy(dtype=float)), pool.known.to_numpy(dtype=float)
        free = choice.free(np.arange(len(x)))
        with torch.random.fork_rng():
            torch.manual_seed(seed % 2**32)
            if self.acquisition == "EI":
                worth = np.full(free.shape, -np.inf)
                worth[:, 1] = _improvement(_fitted(x, labels[:, 1:]), x, choice.best)
            else:
                two = [torch.cat([x, torch.full((len(x), 1), level, dtype=x.dtype)], 1) for level in (0.0, 1.0)]
                model = _fitted(x, labels, fidelities=True)
                worth = _knowledge(model, *two) / pool.costs
        worth = np.where(free, worth, -np.inf)
        row, t = np.unravel_index(int(np.argmax(worth)), worth.shape)
        return Decision([(int(row), int(t))] if np.isfinite(worth[row, t]) else [])


def _fitted(x: torch.Tensor, labels: np.ndarray, fidelities: bool = False) -> Any:
    """BoTorch's model of the known labels (n, T), its hyperparameters at their best."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP, SingleTaskMultiFidelityGP
    from botorch.models.transforms.outcome import Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    row, t = np.nonzero(~np.isnan(labels))
    y, inputs = torch.tensor(labels[row, t])[:, None], x[row]
    if fidelities:
        inputs = torch.cat([inputs, torch.tensor(t, dtype=x.dtype)[:, None]], 1)
        model: Any = SingleTaskMultiFidelityGP(
            inputs,
            y,
            data_fidelities=[inputs.shape[1] - 1],
            linear_truncated=False,
            outcome_transform=Standardize(m=1),
        )
    else:
        model = SingleTaskGP(inputs, y, outcome_transform=Standardize(m=1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


@torch.no_grad()
def _improvement(model: Any, x: torch.Tensor, best: float) -> np.ndarray:
    """The logarithm of the expected improvement (n,)."""
    from botorch.acquisition import LogExpectedImprovement

    return LogExpectedImprovement(model, best_f=best)(x.unsqueeze(1)).numpy()


@torch.no_grad()
def _joint(model: Any, cheap: torch.Tensor, dear: torch.Tensor) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (2n,) and covariance (2n, 2n) of the cheap and the dear function over the pool, and the variance of noise."""
    points = torch.cat([cheap, dear])
    latent, noisy = model.posterior(points), model.posterior(points[:1], observation_noise=True)
    covariance = latent.distribution.covariance_matrix
    noise = float(noisy.variance[0, 0] - model.posterior(points[:1]).variance[0, 0])
    return latent.mean[:, 0].numpy(), covariance.numpy(), noise


def _knowledge(model: Any, cheap: torch.Tensor, dear: torch.Tensor) -> np.ndarray:
    """The knowledge gradient (n, 2) of a cheap and of a dear label of each row."""
    n = len(dear)
    mean, covariance, noise = _joint(model, cheap, dear)
    mean, sd = mean[n:], np.sqrt(covariance.diagonal()[n:])
    rivals = np.argsort(-(mean + 2.5 * sd), kind="stable")[:TARGET_ROWS]
    slopes = covariance[:, n + rivals] / np.sqrt(np.maximum(covariance.diagonal() + noise, 1e-12))[:, None]
    return expected_maximum(mean[rivals], slopes).reshape(2, n).T


def policies(tasks: Sequence[Task], seed: int) -> dict[str, Policy]:
    """The policies by name."""
    common: dict[str, Any] = {"random_state": seed, "verbose": False, "hyperparameters": "laplace"}
    return {
        "bayestl": ByModel(DifferenceGP(["cheap", "dear"], **common)),
        "bayestl EI": ByModel(IndependentGP(**common), alone=True),
        "BoTorch KG": BotorchPolicy("KG"),
        "BoTorch EI": BotorchPolicy("EI"),
        "random": Random(),
    }


@dataclass(frozen=True)
class Job:
    """A campaign: its table, policy and seed, and the file that keeps its records."""

    table: str
    policy: str
    seed: int
    file: Path | None


def play(job: Job) -> pd.DataFrame:
    """The records of one campaign at each of :data:`CHECKS`; kept in its file and read from there."""
    if job.file is not None and job.file.is_file():
        return pd.read_csv(job.file)
    X, truth = table(job.table)
    cheap = CHEAP[job.table]
    tasks = [Task("cheap", cost=cheap), Task("dear", cost=1.0)]
    policy, alone = policies(tasks, job.seed)[job.policy], job.policy in ALONE
    dear_rows, cheap_rows = start(X, job.seed, cheap, alone)
    shown = truth.where(np.zeros(truth.shape, dtype=bool))
    shown.iloc[dear_rows, 1], shown.iloc[cheap_rows, 0] = truth.iloc[dear_rows, 1], truth.iloc[cheap_rows, 0]
    top = set(np.argsort(-truth["dear"].to_numpy(), kind="stable")[:TOP].tolist())
    named, costs = candidates(X), np.array([cheap, 1.0])
    spent, step, steps = 0.0, 0, []
    while True:
        seen = shown["dear"].notna().to_numpy()
        regret = float(truth["dear"].max() - truth["dear"][seen].max())
        found, labels = len(top & set(np.flatnonzero(seen).tolist())), shown.notna().sum()
        steps.append((spent, regret, found, int(labels["dear"]), int(labels["cheap"])))
        possible = shown.isna().to_numpy() & np.array([not alone, True])
        pool = Pool(named, shown, possible, costs, ["cheap", "dear"])
        used = np.flatnonzero(shown.notna().any(axis=1).to_numpy()).tolist()
        choice = Choice(pool, GOAL, float(shown["dear"].max()), BUDGET - spent, used)
        if spent > BUDGET - cheap + 1e-9:
            break
        decision = policy.choose(choice, Evidence(named, shown, tasks), 1, spawn(job.seed, "choices", step))
        if not decision.picks:
            break
        for row, t in decision.picks:
            shown.iloc[row, t] = truth.iloc[row, t]
            spent += costs[t]
        step += 1
    every = pd.DataFrame(steps, columns=["cost", "regret", "found", "dear", "cheap"])
    at = [every[every["cost"] <= check + 1e-9].iloc[-1].to_dict() | {"cost": check} for check in CHECKS]
    records = pd.DataFrame(at).assign(
        table=job.table, policy=job.policy, seed=job.seed, scale=float(truth["dear"].std())
    )
    if job.file is not None:
        write_output(job.file, records.to_csv(index=False))
    return records


class Result:
    """The records of all campaigns: regret and best rows found at each of :data:`CHECKS`."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.records = records

    def table(self) -> pd.DataFrame:
        """Regret at some costs, its mean over the campaign and the best rows found: means over seeds, standard errors."""
        wide = self._wide()
        shown = {"regret": (5.0, 10.0, 27.0), "found": (10.0, 27.0)}
        columns = {f"{what} at {at:g}": wide[what][at] for what, costs in shown.items() for at in costs}
        every = pd.DataFrame(columns | {"mean regret": wide["mean regret"], "mean found": wide["mean found"]})
        grouped = every.groupby(level=["table", "policy"], sort=False)
        means = pd.concat({"mean": grouped.mean(), "se": grouped.sem()}, axis=1).swaplevel(axis=1)
        means[("seeds", "")] = grouped.size()
        return means[[*every, "seeds"]]

    @property
    def figures(self) -> pd.DataFrame:
        """The table with one name a column."""
        table = self.table()
        return table.set_axis([f"{what} se" if side == "se" else what for what, side in table.columns], axis=1)

    def differences(self) -> pd.DataFrame:
        """bayestl minus each other policy, paired by seed: mean regret and mean number found, with standard errors."""
        wide = self._wide()
        rows = []
        for what in ("mean regret", "mean found"):
            by_policy = wide[what].unstack("policy")
            for other in by_policy.columns.drop("bayestl"):
                difference = (by_policy["bayestl"] - by_policy[other]).dropna().groupby(level="table", sort=False)
                frame = pd.DataFrame({"mean": difference.mean(), "se": difference.sem(), "seeds": difference.size()})
                rows.append(frame.assign(bayestl_minus=other, of=what))
        return pd.concat(rows).set_index(["bayestl_minus", "of"], append=True)

    def _wide(self) -> pd.DataFrame:
        """A row per table, policy and seed: regret in standard deviations of the table, and found, at each cost."""
        records = self.records.assign(regret=self.records["regret"] / self.records["scale"])
        wide = records.pivot_table(
            index=["table", "policy", "seed"], columns="cost", values=["regret", "found"], sort=False
        ).astype(float)
        for what in ("regret", "found"):
            areas = np.trapezoid(wide[what].to_numpy(), wide[what].columns.to_numpy(dtype=float), axis=1)
            wide[(f"mean {what}", "")] = areas / BUDGET
        return wide

    def __str__(self) -> str:
        parts = [self.table().round(2).to_string()]
        if {"bayestl"} < set(self.records["policy"]):
            parts.append(self.differences().round(2).to_string())
        return "\n\n".join(parts)

    def write(self, folder: Path) -> None:
        """Write the records as CSV and the curves as a picture."""
        folder.mkdir(parents=True, exist_ok=True)
        self.records.to_csv(folder / "public-campaigns.csv", index=False)
        figure = Figure(figsize=(11.2, 5.6), layout="constrained")
        axes = figure.subplots(2, len(CHEAP), sharex=True, squeeze=False)
        wide = self._wide()
        for column, name in enumerate(CHEAP):
            for row, what in enumerate(("regret", "found")):
                ax = axes[row, column]
                for policy, values in wide.xs(name, level="table")[what].groupby(level="policy", sort=False):
                    mean, se = values.mean(), values.sem()
                    at = mean.index.to_numpy(dtype=float)
                    (line,) = ax.plot(at, mean, label=policy, lw=1.6)
                    ax.fill_between(at, mean - se, mean + se, color=line.get_color(), alpha=0.15, lw=0)
                ax.set_xlabel("cost" if row else "")
            axes[0, column].set_title(name, fontsize=10)
        axes[0, 0].set_ylabel("regret (standard deviations)")
        axes[1, 0].set_ylabel(f"found of the best {TOP}")
        axes[0, -1].legend(frameon=False, fontsize=8)
        figure.savefig(folder / "public-campaigns.png", dpi=130)


def run(
    n_seeds: int = 20,
    only: list[str] | None = None,
    n_jobs: int | None = 2,
    folder: Path | None = None,
    verbose: bool = True,
    first_seed: int = 0,
) -> Result:
    """Play ``n_seeds`` campaigns of each policy on each table, seed by seed.

    Parameters
    ----------
    folder : path, optional
        Folder for finished campaigns: an interrupted run continues, and adds seeds.
    """
    names = list(choose(policies([], 0), only))
    jobs = [
        Job(t, policy, seed, None if folder is None else folder / f"{t} {policy} {seed}.csv".replace(" ", "-"))
        for seed in range(first_seed, first_seed + n_seeds)
        for t in CHEAP
        for policy in names
    ]
    played = in_parallel(play, [(job,) for job in jobs], n_jobs, "campaigns", verbose)
    return Result(pd.concat(played, ignore_index=True))
