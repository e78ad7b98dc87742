"""How a label arises from latent values: ``y ~ Likelihood(z)``.

A likelihood is a prior-free description: its log density, the expectation of that under a Gaussian (which is all that
an inference engine needs), the predictive distribution of a label, and draws of labels.  It holds no inference code and
no fitted numbers: the noise of a task, cutpoints and degrees of freedom belong to the fitted model and are passed in.

A label has one or more *parts*, each with its own latent functions.  Most labels have one part; a hurdle label has
two, whether it is zero and how large it is otherwise, so that the second part can stay exact.
"""

from __future__ import annotations

from bayestl.likelihoods.base import LabelBlock, LatentBlock, Likelihood, Part, Setting
from bayestl.likelihoods.classes import Bernoulli, Categorical, Classified, Ordinal
from bayestl.likelihoods.hurdle import AUTO, SIZES, Hurdle
from bayestl.likelihoods.numbers import Censored, Gaussian, StudentT
from bayestl.likelihoods.positive import LogNormal, Positive, PowerNormal, PowerStudentT

__all__ = [
    "AUTO",
    "SIZES",
    "Bernoulli",
    "Categorical",
    "Censored",
    "Classified",
    "Gaussian",
    "Hurdle",
    "LabelBlock",
    "LatentBlock",
    "Likelihood",
    "LogNormal",
    "Ordinal",
    "Part",
    "Positive",
    "PowerNormal",
    "PowerStudentT",
    "Setting",
    "StudentT",
]

NAMED: dict[str, type[Likelihood]] = {
    c.__name__: c
    for c in (
        Gaussian,
        StudentT,
        Censored,
        LogNormal,
        PowerNormal,
        PowerStudentT,
        Positive,
        Bernoulli,
        Ordinal,
        Categorical,
        Hurdle,
    )
}
"""The likelihoods by name, as model files hold them."""
