"""What many tests share: small tables, fitted models, and one thread per worker."""

import os
import signal
import tempfile
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before torch and NumPy are imported; workers and subprocesses inherit it

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script: subprocesses would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

CACHE = tempfile.TemporaryDirectory(prefix="bayestl-cache-", ignore_cleanup_errors=True)  # removed with this process
os.environ["BAYESTL_CACHE"] = CACHE.name

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from support.models import SharedModels

mpl.use("Agg")


@pytest.fixture(scope="session")
def two_tasks():
    """40 rows, 2 features; the target is 1.3 source + 0.5 + a slope, known for half of the rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((40, 2)), columns=["p", "q"])
    source = np.sin(X["p"]) + 0.5 * X["q"] + 2.0
    Y = pd.DataFrame({"source": source, "target": 1.3 * source + 0.5 + 0.1 * X["q"]})
    Y += 0.02 * rng.standard_normal(Y.shape)
    Y.iloc[20:, 1] = np.nan
    return X, Y


@pytest.fixture(scope="session")
def fitted(two_tasks):
    """``fitted[name]``: a model of ``support.models.MODELS`` on ``two_tasks``, fitted on first use; tests leave it as it is."""
    shared = SharedModels(*two_tasks)
    yield shared
    shared.check_unchanged()


@pytest.fixture(scope="session")
def data_folder():
    """The real tables: required in CI, skipped elsewhere when not set."""
    folder = os.environ.get("BAYESTL_DATA")
    if not folder:
        if os.environ.get("CI"):
            pytest.fail("BAYESTL_DATA is not set")
        pytest.skip("BAYESTL_DATA is not set")
    assert Path(folder).is_dir()
    return Path(folder)
