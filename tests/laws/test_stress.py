"""Random tables that a user might bring: each is predicted, or refused in bayestl's own words (``benchmarks/stress.py``)."""

import pytest
from benchmarks.stress import run, summary


def check(outcomes, n):
    assert len(outcomes) == n
    assert (outcomes["outcome"] == "ok").mean() > 0.4
    assert not outcomes["outcome"].str.startswith("fault").any(), "\n" + summary(outcomes)


@pytest.mark.parametrize("first", range(0, 30, 15))
def test_random_tables_are_predicted_or_refused(first):
    check(run(15, first), 15)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1200, 100))
def test_many_random_tables_are_predicted_or_refused(first):
    check(run(100, first), 100)


def test_a_run_goes_on_where_it_ended(tmp_path):
    path = tmp_path / "outcomes.csv"
    run(2, 0, output=path)
    written = path.read_text()
    outcomes = run(3, 0, output=path)
    assert outcomes["seed"].tolist() == [0, 1, 2]
    assert path.read_text().startswith(written)
