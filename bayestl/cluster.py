"""Loops on a Dask cluster: jobs for its workers, which may come, go and die.

``joblib.parallel_config("dask")`` sends every loop of the package there (:mod:`bayestl.parallel`).  Jobs go to the workers by the
client of joblib's backend, not by its queue: that one keeps arguments on single workers, which take them along when they
die, and leaves jobs behind when a loop is interrupted.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from joblib import parallel_config
from joblib.parallel import get_active_backend

from bayestl.version import __version__

AHEAD = 2
"""Jobs that are sent ahead, for each thread of a worker."""
KEPT = 8
"""Results, for each job that is sent ahead, that may wait for those of earlier jobs."""
SECONDS = 10
"""Within which a scheduler answers."""
POLL = 1.0
"""Seconds after which workers are counted again."""
EXTRAS = {
    "matminer": "materials",
    "pymatgen": "materials",
    "rdkit": "molecules",
    "botorch": "active",
    "lolopy": "bench",
    "numpyro": "bench",
}
"""Packages that some jobs need, with the extra that installs them."""


class ClusterError(ValueError):
    """A cluster that cannot be reached, or whose workers lack something."""


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """A context in which loops run on the Dask cluster at an address; here without one.

    Parameters
    ----------
    address : str, optional
        The address of the scheduler, such as ``"tcp://10.0.0.1:8786"``, or the path of its scheduler file.

    Raises
    ------
    ClusterError
        If Dask is not installed, or no scheduler answers.

    Examples
    --------
    >>> from bayestl.cluster import on_cluster
    >>> with on_cluster(None):
    ...     print("here")
    here
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("a Dask cluster needs the extra: pip install 'bayestl[cluster]'") from error
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    failure = ""
    try:
        client = Client(**where, timeout=SECONDS)
    except (OSError, ValueError, TypeError, AssertionError) as error:  # the last: a file that is no scheduler file
        failure = type(error).__name__
    if failure:
        gc.collect()  # the client that has not begun ends here, not while another one begins: that would wait for ever
        raise ClusterError(
            f"no Dask scheduler answers at {address!r} ({failure}): start one with `dask scheduler`, and give the address "
            "that it prints, such as tcp://10.0.0.1:8786"
        )
    try:
        with parallel_config("dask"):
            yield
    finally:
        with suppress(OSError, TimeoutError):  # the scheduler may have gone
            client.close(timeout=SECONDS)


def client_in_use() -> Any:
    """The Dask client of ``joblib.parallel_config("dask")``; None where that does not hold."""
    return getattr(get_active_backend()[0], "client", None)


def run_on_workers(
    client: Any, function: Callable[[Any], Any], jobs: Iterable[Any], wait: Callable[[bool], None]
) -> Iterator[Any]:
    """Yield ``function(job)`` for each job, in the order of the jobs; a job whose worker dies runs again on another.

    Jobs are taken from their iterator as workers need them.  Whatever ends the loop, no job is left on the cluster.

    Parameters
    ----------
    client : distributed.Client
        The client.
    function : callable
        What is computed; it must be importable on the workers.
    jobs : iterable
        Its arguments.
    wait : callable
        Is told whether there is no worker at present.

    Raises
    ------
    ClusterError
        If a worker lacks what the jobs need, or workers die of a job time and again.
    """
    import distributed

    left, checked = enumerate(jobs), set[str]()
    sent, done = dict[Any, int](), dict[int, Any]()
    n_yielded, exhausted = 0, False
    try:
        while not (exhausted and not sent):
            threads = _threads(client)
            if not (
                threads or sent
            ):  # a cluster that grows with its work is asked for a worker, which is checked first
                wait(True)
                with suppress(TimeoutError):
                    distributed.wait(client.submit(os.getpid, pure=False), timeout=POLL)
                continue
            check_workers(client, sorted(set(threads) - checked))
            checked |= set(threads)
            wait(not threads)
            room = AHEAD * max(sum(threads.values()), 1)
            while not exhausted and len(sent) < room and len(sent) + len(done) < KEPT * room:
                number, job = next(left, (-1, None))
                exhausted = number < 0
                if not exhausted:
                    sent[_submitted(client, function, job)] = number
            if sent and not any(future.done() for future in sent):
                with suppress(TimeoutError):
                    distributed.wait(list(sent), timeout=POLL, return_when="FIRST_COMPLETED")
            for future in [f for f in sent if f.done()]:
                done[sent.pop(future)] = _result(future)
            while n_yielded in done:
                yield done.pop(n_yielded)
                n_yielded += 1
    finally:
        if sent:
            with suppress(Exception):  # the scheduler may have gone
                client.cancel(list(sent), force=True)


def _threads(client: Any) -> dict[str, int]:
    """The threads of each worker."""
    try:
        return dict(client.ncores())
    except OSError as error:
        raise ClusterError(
            "the Dask scheduler no longer answers: start it and its workers, and then this loop again"
        ) from error


def _submitted(client: Any, function: Callable[[Any], Any], job: Any) -> Any:
    """The future of a job, which travels with its arguments, as bytes: the scheduler need not have the packages behind it."""
    import cloudpickle

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="(?s)Sending large graph", category=UserWarning, module="distributed.client$"
        )
        return client.submit(pickle.loads, cloudpickle.dumps(_Call(function, job)), pure=False)


class _Call:
    """What is unpickled as the result of ``function(job)``."""

    def __init__(self, function: Callable[[Any], Any], job: Any) -> None:
        self._function, self._job = function, job

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return self._function, (self._job,)


def _result(future: Any) -> Any:
    """The result of a finished job, or its error, in words where the cluster is to blame."""
    import distributed

    if future.status not in ("finished", "error"):
        raise ClusterError(
            "the Dask scheduler has dropped a job, as one that was started again does: start this loop again"
        )
    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise ClusterError(
            f"{error.allowed_failures + 1} workers of the Dask cluster have died while they ran one job, for want of memory "
            "perhaps: give each worker more (dask worker --memory-limit), or ask for a smaller job"
        ) from error
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"a worker of the Dask cluster lacks the package {error.name!r}: {_cure([error.name or ''])}"
        ) from error
    except ValueError as error:
        if "BAYESTL_DATA" not in str(error):
            raise
        raise ClusterError(
            f"on a worker of the Dask cluster: {error}; or mount the folder there under the same path"
        ) from error


def check_workers(client: Any, workers: Sequence[str]) -> None:
    """Refuse workers that have another version of the package, or lack a package that this process uses.

    Raises
    ------
    ClusterError
        If a worker is refused; the message names it and the cure.
    """
    if not workers:
        return
    used = [name for name in EXTRAS if name in sys.modules]
    question = (
        "__import__('bayestl').__version__, "
        f"[n for n in {used!r} if __import__('importlib.util').util.find_spec(n) is None]"
    )
    answers = client.run(eval, question, workers=list(workers), on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, OSError):  # it has gone
            continue
        if isinstance(answer, Exception):
            raise ClusterError(
                f"the worker {worker} of the Dask cluster cannot import bayestl ({type(answer).__name__}: {answer}): "
                f"pip install bayestl=={__version__} there"
            )
        version, missing = answer
        if version != __version__:
            raise ClusterError(
                f"the worker {worker} of the Dask cluster has bayestl {version}, and this process {__version__}: install the same "
                "version on both"
            )
        if missing:
            raise ClusterError(f"the worker {worker} of the Dask cluster lacks {', '.join(missing)}: {_cure(missing)}")


def _cure(packages: Sequence[str]) -> str:
    extras = list(dict.fromkeys(EXTRAS[name] for name in packages if name in EXTRAS))
    what = f"'bayestl[{','.join(extras)}]'" if extras else " ".join(packages)
    return f"install there what this machine has (pip install {what})"


def environment() -> dict[str, str]:
    """The environment variables of this process that jobs need: the folder of the data files."""
    return {name: os.environ[name] for name in ("BAYESTL_DATA",) if name in os.environ}
