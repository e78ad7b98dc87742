"""All models of the package in one import, so that :func:`load` knows every class that a file may name."""

from __future__ import annotations

import os
from typing import Any

from bayestl.files.models import model_from_document as model_from_document
from bayestl.files.models import read_model
from bayestl.models.chain.model import ChainGP
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.models.ensembles.recalibrated import Recalibrated
from bayestl.models.ensembles.stacked import StackedModel
from bayestl.models.exact.difference import DifferenceGP, PairedDifferenceGP
from bayestl.models.exact.independent import IndependentGP
from bayestl.models.exact.multitask import MultiTaskGP
from bayestl.models.latent.model import LatentVariableGP
from bayestl.models.subspace.model import LowRankLinear

__all__ = [
    "AutoTransfer",
    "ChainGP",
    "DifferenceGP",
    "IndependentGP",
    "LatentVariableGP",
    "LowRankLinear",
    "MultiTaskGP",
    "PairedDifferenceGP",
    "Recalibrated",
    "StackedModel",
    "load",
    "model_from_document",
]


def load(path: str | os.PathLike[str], device: str = "cpu") -> Any:
    """Read a model written by ``model.save(path)``; it predicts exactly as it did, and reading runs no code.

    Parameters
    ----------
    path : path
        The folder.
    device : str
        Where the model and those in it compute from now on, as for :class:`IndependentGP`; a file says nothing of where it was
        fitted.  On another device than there, predictions are the same to rounding.

    Returns
    -------
    model
        The fitted model, of the class that was saved.

    Raises
    ------
    FileError
        If the folder holds no model, a damaged one, or one that this version cannot read.
    ValueError
        If there is no such device.

    Examples
    --------
    >>> import numpy as np, tempfile, bayestl as btl
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> folder = tempfile.mkdtemp()
    >>> btl.IndependentGP(verbose=False).fit(x, np.sin(5 * x[:, 0])).save(folder)
    >>> btl.load(folder).predict([[0.5]]).round(1).tolist()
    [0.6]
    """
    return read_model(path, device)
