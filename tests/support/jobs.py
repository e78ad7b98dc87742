"""Jobs for worker processes: they import little, so that a worker is soon ready."""

import os
import signal
import time
import warnings


def where(seconds, i):
    """A job that says in which process it ran."""
    time.sleep(seconds)
    warnings.warn(f"job {i}", UserWarning, stacklevel=1)
    return i, os.getpid()


def needs_data(name):
    folder = os.environ["BAYESTL_DATA"]
    raise ValueError(f"{name} is not in {folder} (BAYESTL_DATA): put it there")


def needs_package(name):
    __import__(name)


def ends_its_worker(i):
    os.kill(os.getpid(), signal.SIGKILL)
