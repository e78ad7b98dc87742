"""Loops on a real Dask cluster: a scheduler and two single-threaded worker processes on this machine, one of which is killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

import bayestl as btl
from bayestl.active import Maximise, Random, simulate
from bayestl.cluster import ClusterError, on_cluster
from bayestl.parallel import in_parallel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra cluster is not installed"),
    pytest.mark.filterwarnings("default"),
]


class Cluster:
    """A scheduler and its workers, as processes; their output is in a file."""

    def __init__(self, folder):
        self.file, self.log = folder / "scheduler.json", (folder / "dask.log").open("w")
        self.folder, self.workers = folder, []
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))

    def _start(self, kind, *options, env=None):
        module = f"distributed.cli.dask_{kind}"
        return subprocess.Popen(
            [sys.executable, "-m", module, *options], stdout=self.log, stderr=self.log, cwd=self.folder, env=env
        )

    def add(self, env=None):
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(self.file)]
        self.workers.append(self._start("worker", *options, env=env))
        return self.workers[-1]

    def end(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    deadline = time.monotonic() + 60
    while not cluster.file.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    yield cluster
    cluster.end()


@pytest.fixture
def two(cluster):
    cluster.add()
    cluster.add()
    with on_cluster(str(cluster.file)):
        yield cluster


def where(seconds, i):
    """A job that says in which process it ran."""
    time.sleep(seconds)
    warnings.warn(f"job {i}", UserWarning, stacklevel=1)
    return i, os.getpid()


def client():
    from distributed import get_client

    return get_client()


def test_a_killed_worker_loses_nothing(two, tmp_path):
    jobs = [(0.2, i) for i in range(24)]
    found, killed = [], None
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for result in in_parallel(where, jobs, None, "jobs", False):
            found.append(result)
            if len(found) == 6:
                killed = found[-1][1]
                os.kill(killed, signal.SIGKILL)
    assert [i for i, _ in found] == list(range(24))
    processes = {pid for _, pid in found}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {pid for _, pid in found[-6:]} == processes - {killed}
    assert {str(w.message) for w in seen if str(w.message).startswith("job ")} == {f"job {i}" for i in range(24)}


def test_comparisons_and_campaigns_are_the_same_numbers_with_a_worker_killed(two, two_tasks):
    X, Y = two_tasks
    fast = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
    models = {"alone": btl.IndependentGP(**fast), "together": btl.MultiTaskGP(**fast)}

    def run(n_jobs):
        compared = btl.compare(models, X, Y, target="target", cv=4, n_jobs=n_jobs, verbose=False)
        policies = {"random": Random()}
        campaigns = simulate(
            X, Y, Maximise("source"), policies, start=3, budget=8, seeds=range(4), n_jobs=n_jobs, verbose=False
        )
        return compared.scores, campaigns.records

    import threading

    pids = list(client().run(os.getpid).values())
    threading.Timer(1.5, lambda: os.kill(pids[0], signal.SIGKILL)).start()
    found = run(None)
    deadline = time.monotonic() + 30
    while len(client().ncores()) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(client().ncores()) == 1
    for a, b in zip(found, run(1), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_workers_that_come_later_take_part(cluster):
    cluster.add()
    with on_cluster(str(cluster.file)):
        results = in_parallel(where, [(0.3, i) for i in range(40)], None, "jobs", False)
        found = [next(results)]
        cluster.add()
        found += results
    assert [i for i, _ in found] == list(range(40))
    assert len({pid for _, pid in found}) == 2


@pytest.mark.parametrize("how", ["error", "interrupt", "closed"])
def test_no_job_is_left_when_a_loop_ends_early(two, how):
    results = in_parallel(where, [(0.3, i) for i in range(40)], None, "jobs", False)
    next(results)
    error = {"error": ValueError("of the user"), "interrupt": KeyboardInterrupt()}.get(how)
    if error is None:
        results.close()
    else:
        with pytest.raises(type(error)):
            results.throw(error)
    deadline = time.monotonic() + 20
    while (left := sum(map(len, client().processing().values()))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == 0
    assert [i for i, _ in in_parallel(where, [(0.0, 7)], None, "jobs", False)] == [7]


def needs_data(i):
    from bayestl.datasets import load_expt_gap

    return len(load_expt_gap().Y)


def needs_package(i):
    import bayestl_has_no_such_module  # noqa: F401


def ends_its_worker(i):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (needs_data, "on a worker of the Dask cluster: .*BAYESTL_DATA.*mount the folder"),
        (needs_package, "lacks the package 'bayestl_has_no_such_module': install there"),
    ],
)
def test_what_a_job_lacks_on_a_worker_is_named(two, monkeypatch, tmp_path, job, words):
    monkeypatch.setenv("BAYESTL_DATA", str(tmp_path / "only here"))
    with pytest.raises(ClusterError, match=words):
        list(in_parallel(job, [(0,)], None, "jobs", False))


def test_a_job_that_ends_every_worker_is_named(cluster):
    for _ in range(4):
        cluster.add()
    with on_cluster(str(cluster.file)), pytest.raises(ClusterError, match="have died while they ran one job"):
        list(in_parallel(ends_its_worker, [(0,)], None, "jobs", False))


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ("bayestl", "cannot import bayestl .*: pip install bayestl=="),
        ("version", "has bayestl 0.0.0, and this process"),
        ("extra", r"lacks pymatgen: install there .*'bayestl\[materials\]'"),
    ],
)
def test_what_workers_lack_is_named_before_the_first_job(cluster, tmp_path, lacks, words):
    import pymatgen.core  # noqa: F401

    code = {
        "bayestl": "raise ImportError('no module named bayestl')",
        "version": "__version__ = '0.0.0'",
        "extra": "import sys; from bayestl_real import __version__",
    }[lacks]
    stand_in = tmp_path / "site"
    (stand_in / "bayestl").mkdir(parents=True)
    if lacks == "extra":
        code = f"__version__ = {btl.__version__!r}\nimport importlib.util as u\nfind = u.find_spec\nu.find_spec = lambda n: None if n == 'pymatgen' else find(n)"
    (stand_in / "bayestl" / "__init__.py").write_text(code)
    cluster.add(env=os.environ | {"PYTHONPATH": str(stand_in)})
    with on_cluster(str(cluster.file)), pytest.raises(ClusterError, match=words):
        list(in_parallel(where, [(0.0, 0)], None, "jobs", False))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "no file.json"])
def test_an_address_without_a_scheduler_is_an_error_in_words(address):
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), on_cluster(address):
        pass


def test_one_job_at_a_time_stays_in_this_process(two):
    assert {pid for _, pid in in_parallel(where, [(0.0, i) for i in range(3)], 1, "jobs", False)} == {os.getpid()}
    with parallel_config("sequential"):
        assert {pid for _, pid in in_parallel(where, [(0.0, 0)], None, "jobs", False)} == {os.getpid()}
