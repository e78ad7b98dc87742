"""Bayesian transfer learning for sparse materials data.

Heavy modules (torch, gpytorch, pyro) load on first use: ``import bayestl`` costs milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bayestl.version import __version__

_HOMES = {
    "Task": "table.task",
    "Kernel": "kernels.combined",
    "Bernoulli": "likelihoods",
    "Categorical": "likelihoods",
    "Censored": "likelihoods",
    "Gaussian": "likelihoods",
    "Hurdle": "likelihoods",
    "LogNormal": "likelihoods",
    "Ordinal": "likelihoods",
    "Positive": "likelihoods",
    "PowerNormal": "likelihoods",
    "PowerStudentT": "likelihoods",
    "StudentT": "likelihoods",
    "IndependentGP": "models.exact.independent",
    "MultiTaskGP": "models.exact.multitask",
    "DifferenceGP": "models.exact.difference",
    "PairedDifferenceGP": "models.exact.difference",
    "ChainGP": "models.chain.model",
    "LatentVariableGP": "models.latent.model",
    "LowRankLinear": "models.subspace.model",
    "AutoTransfer": "models.ensembles.auto",
    "Recalibrated": "models.ensembles.recalibrated",
    "StackedModel": "models.ensembles.stacked",
    "Posterior": "posterior",
    "Comparison": "evaluation.comparison",
    "compare": "evaluation.cross_validation",
    "suggest_graph": "evaluation.graph_search",
    "transfer_gain": "evaluation.transfer",
    "learning_curve": "evaluation.transfer",
    "load": "models.catalogue",
}
"""Module of each public name, imported when the name is first used."""
_MODULES = {
    "active": "active",
    "datasets": "datasets",
    "evaluation": "evaluation",
    "features": "features",
    "metrics": "metrics",
    "plots": "report.plots",
    "report": "report",
}
"""Path of each public module, imported when it is first used."""

__all__ = [
    "AutoTransfer",
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
    "LowRankLinear",
    "MultiTaskGP",
    "Ordinal",
    "PairedDifferenceGP",
    "Positive",
    "Posterior",
    "PowerNormal",
    "PowerStudentT",
    "Recalibrated",
    "StackedModel",
    "StudentT",
    "Task",
    "__version__",
    "active",
    "compare",
    "datasets",
    "evaluation",
    "features",
    "learning_curve",
    "load",
    "metrics",
    "plots",
    "report",
    "suggest_graph",
    "transfer_gain",
]

if TYPE_CHECKING:
    from bayestl import active, datasets, evaluation, features, metrics, report
    from bayestl.evaluation.comparison import Comparison
    from bayestl.evaluation.cross_validation import compare
    from bayestl.evaluation.graph_search import suggest_graph
    from bayestl.evaluation.transfer import learning_curve, transfer_gain
    from bayestl.kernels.combined import Kernel
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
    from bayestl.models.catalogue import load
    from bayestl.models.chain.model import ChainGP
    from bayestl.models.ensembles.auto import AutoTransfer
    from bayestl.models.ensembles.recalibrated import Recalibrated
    from bayestl.models.ensembles.stacked import StackedModel
    from bayestl.models.exact.difference import DifferenceGP, PairedDifferenceGP
    from bayestl.models.exact.independent import IndependentGP
    from bayestl.models.exact.multitask import MultiTaskGP
    from bayestl.models.latent.model import LatentVariableGP
    from bayestl.models.subspace.model import LowRankLinear
    from bayestl.posterior import Posterior
    from bayestl.report import plots
    from bayestl.table.task import Task


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayestl.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"bayestl.{_MODULES[name]}")
    raise AttributeError(f"module 'bayestl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
