"""Classes as results: told one at a time, and known by how they are spelled."""

import numpy as np
import pandas as pd
import pytest
from support.campaigns import table

import bayestl as btl
from bayestl.active import Campaign, Learn, Maximise

ALONE = btl.IndependentGP(hyperparameters="map", n_starts=1, verbose=False)


def told(row, value, task="exp", **more):
    return pd.DataFrame({"row": [row], "task": [task], "value": pd.Series([value], dtype=object), **more})


def test_classes_are_told_one_at_a_time(tmp_path):
    X, _ = table()
    for name, task, known in (
        ("named", btl.Task("c", btl.Categorical(["a", "b", "failed"])), None),
        ("open", btl.Task("c", btl.Categorical()), None),
        ("evident", btl.Task("c"), pd.DataFrame({"c": ["a", "b", "a", "c"]}, index=X.index[:4])),
    ):
        own = Campaign(X, [task], Learn("c"), ALONE, tmp_path / name, known=known, verbose=False)
        own.tell(told("m10", "a", "c"))
        own.tell(told("m11", "failed", "c"))
        own.tell(told("m11", "b", "c"))
        assert own.labels()["c"].dropna().tail(2).tolist() == ["a", "b"]
        assert len(own.results("failed")) == 0
    with pytest.raises(ValueError, match="'z'"):
        Campaign.open(tmp_path / "named", verbose=False).tell(told("m12", "z", "c"))


@pytest.mark.parametrize("told", ["2", 2, 2.0, "2.0", np.int64(2)])
@pytest.mark.parametrize("likelihood", [btl.Ordinal(), btl.Ordinal((1.0, 2.0)), btl.Categorical()])
def test_a_class_is_known_by_how_it_is_spelled(told, likelihood, tmp_path):
    pool = pd.DataFrame({"x": np.linspace(0, 1, 6)}, index=list("abcdef"))
    known = pd.DataFrame({"grade": [1.0, 2.0, 1.0, None, None, None]}, index=pool.index)
    tasks = [btl.Task("grade", likelihood)]
    goal = Maximise("grade") if isinstance(likelihood, btl.Ordinal) else Learn("grade")
    own = Campaign(pool, tasks, goal, ALONE, tmp_path / "c.db", known=known, verbose=False)
    own.tell(pd.DataFrame({"row": ["d"], "task": ["grade"], "value": [told]}))
    assert repr(own.results()["value"].iloc[-1]) == "2.0"


def test_dates_as_classes_come_back(tmp_path):
    X, _ = table()
    days = [pd.Timestamp(2024, 1, d) for d in (1, 2)]
    own = Campaign(X, [btl.Task("c", btl.Categorical(days))], Learn("c"), ALONE, tmp_path / "c.db", verbose=False)
    own.tell(told("m1", days[1], "c"))
    assert Campaign.open(tmp_path / "c.db", verbose=False).results()["value"].tolist() == [days[1]]
