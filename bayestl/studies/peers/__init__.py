"""Other learners behind the interface of the models, so that they are scored in the same run on the same splits."""

from bayestl.studies.peers.baselines import Line, OnDifference, SourceItself
from bayestl.studies.peers.forests import ARCHITECTURES, ForestClassifier, Forests
from bayestl.studies.peers.learners import LoloForest, LoloForests, QuantileForest, lolo_installed
from bayestl.studies.peers.marginals import GaussianMarginals, RowMarginals
from bayestl.studies.peers.multitask import BoTorchMultiTask

__all__ = [
    "ARCHITECTURES",
    "BoTorchMultiTask",
    "ForestClassifier",
    "Forests",
    "GaussianMarginals",
    "Line",
    "LoloForest",
    "LoloForests",
    "OnDifference",
    "QuantileForest",
    "RowMarginals",
    "SourceItself",
    "lolo_installed",
]
