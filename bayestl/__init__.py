"""Bayesian transfer learning for sparse materials data.

Heavy modules (torch, gpytorch, pyro) load on first use: ``import bayestl`` costs milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Task": "bayestl.tasks",
    "Kernel": "bayestl.blocks",
    "Bernoulli": "bayestl.likelihoods",
    "Categorical": "bayestl.likelihoods",
    "Censored": "bayestl.likelihoods",
    "Gaussian": "bayestl.likelihoods",
    "Hurdle": "bayestl.likelihoods",
    "LogNormal": "bayestl.likelihoods",
    "Ordinal": "bayestl.likelihoods",
    "Positive": "bayestl.likelihoods",
    "PowerNormal": "bayestl.likelihoods",
    "PowerStudentT": "bayestl.likelihoods",
    "StudentT": "bayestl.likelihoods",
    "IndependentGP": "bayestl.models.independent",
    "MultiTaskGP": "bayestl.models.multitask",
    "ChainGP": "bayestl.models.chain",
    "DifferenceGP": "bayestl.models.difference",
    "LatentVariableGP": "bayestl.models.latent",
    "SubspaceGP": "bayestl.models.subspace",
    "Recalibrated": "bayestl.models.recalibrated",
    "StackedModel": "bayestl.models.stacked",
    "stack": "bayestl.models.stacked",
    "Posterior": "bayestl.posterior",
    "Comparison": "bayestl.validation",
    "compare": "bayestl.validation",
    "suggest_graph": "bayestl.graphs",
    "transfer_gain": "bayestl.transfer",
    "learning_curve": "bayestl.transfer",
    "load": "bayestl.io",
}
_MODULES = (
    "active",
    "datasets",
    "diagnostics",
    "features",
    "kernels",
    "metrics",
    "model_report",
    "plots",
    "report",
    "studies",
)

__all__ = [
    "Bernoulli",
    "Categorical",
    "Censored",
    "ChainGP",
    "Comparison",
    "DifferenceGP",
    "Gaussian",
    "Hurdle",
    "IndependentGP",
    "Kernel",
    "LatentVariableGP",
    "LogNormal",
    "MultiTaskGP",
    "Ordinal",
    "Positive",
    "Posterior",
    "PowerNormal",
    "PowerStudentT",
    "Recalibrated",
    "StackedModel",
    "StudentT",
    "SubspaceGP",
    "Task",
    "__version__",
    "active",
    "compare",
    "datasets",
    "diagnostics",
    "features",
    "kernels",
    "learning_curve",
    "load",
    "metrics",
    "model_report",
    "plots",
    "report",
    "stack",
    "studies",
    "suggest_graph",
    "transfer_gain",
]

if TYPE_CHECKING:
    from bayestl import datasets, diagnostics, features, kernels, metrics, plots, report, studies
    from bayestl.blocks import Kernel
    from bayestl.graphs import suggest_graph
    from bayestl.io import load
    from bayestl.likelihoods import (
        Bernoulli,
        Categorical,
        Censored,
        Gaussian,
        Hurdle,
        LogNormal,
        Ordinal,
        Positive,
        PowerNormal,
        PowerStudentT,
        StudentT,
    )
    from bayestl.models.chain import ChainGP
    from bayestl.models.difference import DifferenceGP
    from bayestl.models.independent import IndependentGP
    from bayestl.models.latent import LatentVariableGP
    from bayestl.models.multitask import MultiTaskGP
    from bayestl.models.recalibrated import Recalibrated
    from bayestl.models.stacked import StackedModel, stack
    from bayestl.models.subspace import SubspaceGP
    from bayestl.posterior import Posterior
    from bayestl.tasks import Task
    from bayestl.transfer import learning_curve, transfer_gain
    from bayestl.validation import Comparison, compare


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"bayestl.{name}")
    raise AttributeError(f"module 'bayestl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
