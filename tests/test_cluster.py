"""Loops on a real Dask cluster: a scheduler and two single-threaded worker processes on this machine, one of which is killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
from joblib import parallel_config
from support.jobs import ends_its_worker, needs_data, needs_package, where

import bayestl as btl
from bayestl.active import Maximise, Random, simulate
from bayestl.cluster import ClusterError, on_cluster
from bayestl.parallel import in_parallel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra cluster is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


TESTS = Path(__file__).parent


class Cluster:
    """A scheduler and its workers, as processes; their output is in a file."""

    def __init__(self, folder):
        self.file, self.log = folder / "scheduler.json", (folder / "dask.log").open("w")
        self.folder, self.workers = folder, []
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))
        until(self.file.is_file)

    def _start(self, kind, *options, env=None):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.folder, env=env)

    def add(self, path=f"{TESTS.parent}{os.pathsep}{TESTS}"):
        """Start a worker that finds packages on a path."""
        env = {k: v for k, v in os.environ.items() if k != "BAYESTL_DATA"} | {"PYTHONPATH": str(path)}
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(self.file)]
        self.workers.append(self._start("worker", *options, env=env))

    def have(self, n):
        """Wait until there are n workers, of which some are started."""
        self.workers = [w for w in self.workers if w.poll() is None]
        for _ in range(n - len(self.workers)):
            self.add()
        until(lambda: len(client().ncores()) == n)
        return [w.pid for w in self.workers]

    def end(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self.log.close()


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def client():
    from distributed import get_client

    return get_client()


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.end()


@pytest.fixture
def two(started):
    """A cluster of two workers; loops run there."""
    with on_cluster(str(started.file)):
        started.have(2)
        yield started


@pytest.fixture
def empty(tmp_path):
    """A cluster without workers."""
    cluster = Cluster(tmp_path)
    with on_cluster(str(cluster.file)):
        yield cluster
    cluster.end()


def run(jobs, n_jobs=None):
    return in_parallel(where, jobs, n_jobs, "jobs", False)


def test_a_killed_worker_loses_nothing(two):
    found, killed = [], None
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for result in run([(0.2, i) for i in range(24)]):
            found.append(result)
            if len(found) == 6:
                killed = found[-1][1]
                os.kill(killed, signal.SIGKILL)
    assert [i for i, _ in found] == list(range(24))
    processes = {pid for _, pid in found}
    assert processes == {w.pid for w in two.workers}
    assert {pid for _, pid in found[-6:]} == processes - {killed}
    assert {str(w.message) for w in seen if str(w.message).startswith("job ")} == {f"job {i}" for i in range(24)}


def test_comparisons_and_campaigns_are_the_same_numbers_with_a_worker_killed(two, two_tasks):
    X, Y = two_tasks
    fast = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
    models = {"alone": btl.IndependentGP(**fast), "together": btl.MultiTaskGP(**fast)}
    play = {"policies": {"random": Random()}, "start": 3, "budget": 8, "seeds": range(4), "verbose": False}

    def results(n_jobs):
        compared = btl.compare(models, X, Y, target="target", cv=4, n_jobs=n_jobs, verbose=False)
        return compared.scores, simulate(X, Y, Maximise("source"), **play, n_jobs=n_jobs).records

    first = threading.Timer(3.0, two.workers[0].kill)
    first.start()
    found = results(None)
    first.join()
    until(lambda: len(client().ncores()) == 1)
    for a, b in zip(found, results(1), strict=True):
        drop = [c for c in a if c.startswith("seconds")]
        pd.testing.assert_frame_equal(a.drop(columns=drop), b.drop(columns=drop), check_exact=True)


def test_workers_that_come_later_take_part(empty):
    empty.add()
    results = run([(0.3, i) for i in range(40)])
    found = [next(results)]
    empty.add()
    found += results
    assert [i for i, _ in found] == list(range(40))
    assert {pid for _, pid in found} == {w.pid for w in empty.workers}


@pytest.mark.parametrize("how", ["error", "interrupt", "closed"])
def test_no_job_is_left_when_a_loop_ends_early(two, how):
    results = run([(0.3, i) for i in range(40)])
    next(results)
    error = {"error": ValueError("of the user"), "interrupt": KeyboardInterrupt()}.get(how)
    if error is None:
        results.close()
    else:
        with pytest.raises(type(error)):
            results.throw(error)
    until(lambda: not any(client().processing().values()), 20)
    assert [i for i, _ in run([(0.0, 7)])] == [7]


@pytest.mark.parametrize(
    ("job", "name", "words"),
    [
        (
            needs_data,
            "gaps.csv",
            "on a worker of the Dask cluster: gaps.csv .*only here.*BAYESTL_DATA.*mount the folder",
        ),
        (needs_package, "no_such_package", "lacks the package 'no_such_package': install there"),
        (needs_package, "lolopy_of_nobody.sub", "lacks the package 'lolopy_of_nobody'"),
    ],
)
def test_what_a_job_lacks_on_a_worker_is_named(two, monkeypatch, tmp_path, job, name, words):
    monkeypatch.setenv("BAYESTL_DATA", str(tmp_path / "only here"))
    with pytest.raises(ClusterError, match=words):
        list(in_parallel(job, [(name,)], None, "jobs", False))


def test_a_job_that_ends_every_worker_is_named(empty):
    empty.have(4)
    with pytest.raises(ClusterError, match="4 workers of the Dask cluster have died while they ran one job"):
        list(in_parallel(ends_its_worker, [(0,)], None, "jobs", False))


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ("bayestl", "cannot import bayestl .*: pip install bayestl=="),
        ("version", "has bayestl 0.0.0, and this process"),
        ("extra", r"lacks pymatgen: install there .*'bayestl\[materials\]'"),
    ],
)
def test_what_workers_lack_is_named_before_the_first_job(empty, tmp_path, monkeypatch, lacks, words):
    monkeypatch.setitem(sys.modules, "pymatgen", sys)  # as where it is in use
    code = {
        "bayestl": "raise ImportError('no module named bayestl')",
        "version": "__version__ = '0.0.0'",
        "extra": f"__version__ = {btl.__version__!r}\nimport importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda n, *p: None if n == 'pymatgen' else find(n, *p)",
    }[lacks]
    (tmp_path / "site" / "bayestl").mkdir(parents=True)
    (tmp_path / "site" / "bayestl" / "__init__.py").write_text(code)
    empty.add(tmp_path / "site")
    with pytest.raises(ClusterError, match=words):
        list(run([(0.0, 0)]))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "no file.json"])
def test_an_address_without_a_scheduler_is_an_error_in_words(address, monkeypatch):
    monkeypatch.setattr("bayestl.cluster.SECONDS", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), on_cluster(address):
        pass


def test_a_scheduler_that_ends_is_an_error_in_words(empty):
    empty.have(1)
    results = run([(0.2, i) for i in range(200)])
    next(results)
    empty.scheduler.kill()
    with pytest.raises(ClusterError, match=r"no longer answers|dropped a job"):
        list(results)


def test_one_job_at_a_time_stays_in_this_process(two):
    assert {pid for _, pid in run([(0.0, i) for i in range(3)], 1)} == {os.getpid()}
    with parallel_config("sequential"):
        assert {pid for _, pid in run([(0.0, 0)])} == {os.getpid()}
