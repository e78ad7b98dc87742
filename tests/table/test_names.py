"""Names of classes, groups and rows that JSON does not hold: the same before and after a model is saved."""

import datetime as dt
import enum
import json
import math

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.table.groups import encode_groups, plain_name
from bayestl.table.names import name_from_json, name_to_json

PAIRS = {
    "int": (1, 2),
    "float": (0.1, 1.5),
    "bool": (False, True),
    "text": ("a", "b"),
    "tuple": (("a", 1), ("b", (2.5, dt.date(2020, 1, 1)))),
    "bytes": (b"a", b"\xff"),
    "date": (dt.date(2020, 1, 1), dt.date(2021, 2, 3)),
    "datetime": (dt.datetime(2020, 1, 1, 3), dt.datetime(2021, 2, 3)),
    "Timestamp": (pd.Timestamp("2020-01-01"), pd.Timestamp("2021-02-03 04:05:06.000000007")),
    "Timestamp with zone": (
        pd.Timestamp("2020-01-01", tz="Europe/Berlin"),
        pd.Timestamp("2021-07-01", tz="Europe/Berlin"),
    ),
    "datetime64": (np.datetime64("2020-01-01"), np.datetime64("2021-02-03")),
    "Timedelta": (pd.Timedelta(1, "s"), pd.Timedelta(7, "ns")),
    "timedelta": (dt.timedelta(1), dt.timedelta(2, 3, 4)),
    "Interval": (pd.Interval(0, 1), pd.Interval(1.5, 2.5, closed="both")),
    "Interval of dates": (
        pd.Interval(pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01")),
        pd.Interval(pd.Timestamp("2020-02-01"), pd.Timestamp("2020-03-01")),
    ),
    "Period": (pd.Period("2020-01", "M"), pd.Period("2020-02", "M")),
}


@pytest.mark.parametrize("name", [v for pair in PAIRS.values() for v in pair] + [math.inf, -math.inf], ids=str)
def test_a_name_comes_back_from_json(name):
    again = name_from_json(json.loads(json.dumps(name_to_json(name), allow_nan=False)))
    assert again == name
    if not isinstance(name, np.generic):
        assert type(again) is type(name)
        assert hash(again) == hash(name)
    assert math.isnan(name_from_json(name_to_json(float("nan"))))


@pytest.fixture(params=PAIRS)
def kind(request):
    return request.param


def column(pair, missing=None):
    values = pd.Series([pair[i % 2] for i in range(16)], dtype=object)
    values[15] = missing
    return values


def gp(**parameters):
    return btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False, **parameters)


X = pd.DataFrame({"x": [i % 2 + 0.05 * i for i in range(16)]})


def test_classes_of_any_kind_are_the_same_after_loading(kind, tmp_path):
    pair = PAIRS[kind]
    unclear = (
        "int",
        "float",
        "date",
        "datetime",
        "Timestamp",
        "Timestamp with zone",
        "datetime64",
        "Timedelta",
        "timedelta",
        "Period",
    )
    tasks = [btl.Task("y", btl.Bernoulli())] if kind in unclear else None
    model = gp(tasks=tasks).fit(X, pd.DataFrame({"y": column(pair)}))
    assert set(model.tasks_[0].classes) == set(pair) or kind == "datetime64"
    chances, predicted = model.posterior(X).probabilities("y"), model.predict(X)
    assert (predicted["y"].iloc[:15] == column(pair)[:15]).all()
    model.save(tmp_path / "m")
    again = btl.load(tmp_path / "m")
    assert again.tasks_[0].classes == model.tasks_[0].classes
    pd.testing.assert_frame_equal(again.posterior(X).probabilities("y"), chances, rtol=1e-6)
    pd.testing.assert_frame_equal(again.predict(X), predicted)
    held = pd.DataFrame({"y": column(pair)})
    pd.testing.assert_frame_equal(again.log_density(X, held), model.log_density(X, held), rtol=1e-6)
    assert again.score(X, held) == 1.0


def test_groups_and_rows_of_any_kind_are_the_same_after_loading(kind, tmp_path, two_tasks):
    features, labels = two_tasks
    pair = PAIRS[kind]
    groups = pd.Series([pair[i % 2] for i in range(40)], dtype=object)
    groups[39] = None
    model = btl.DifferenceGP(["source", "target"], n_starts=1, hyperparameters="map", verbose=False)
    model.fit(features, labels, groups=groups)
    assert len(model.table_.groups) == 2
    assert model.table_.group[39] == -1
    new = features.iloc[20:30].to_numpy() + 1.0
    at = [pair[1], *list(groups[:9])]
    before = model.posterior(new, groups=at).mean
    model.save(tmp_path / "m")
    again = btl.load(tmp_path / "m")
    assert again.table_.groups == tuple(map(plain_name, model.table_.groups))
    pd.testing.assert_frame_equal(again.posterior(new, groups=at).mean, before, rtol=1e-6)
    as_series = pd.Series(at)  # of dates: NumPy's, where a list holds those of pandas
    pd.testing.assert_frame_equal(again.posterior(new, groups=as_series).mean, before, rtol=1e-6)


def test_rows_of_any_kind_are_recognised_after_loading(kind, tmp_path):
    names = pd.Index([*PAIRS[kind], *(f"row {i}" for i in range(14))], dtype=object, tupleize_cols=False)
    labels = pd.DataFrame({"y": np.sin(X["x"].to_numpy())}, index=names)
    model = gp().fit(X.set_axis(names, axis=0), labels)
    model.save(tmp_path / "m")
    for fitted in (model, btl.load(tmp_path / "m")):
        for chosen in ([1, 0, 5], [0]):
            some = X.iloc[chosen].set_axis(names[chosen], axis=0)
            np.testing.assert_array_equal(fitted._rows(some).row, chosen)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT")], ids=str)
def test_a_group_that_is_missing_is_no_group(missing):
    codes, names = encode_groups([pd.Timestamp("2020-01-01"), missing, np.datetime64("2020-01-01")], pd.RangeIndex(3))
    np.testing.assert_array_equal(codes, [0, -1, 0])
    assert names == ("2020-01-01 00:00:00",)


class Color(enum.Enum):
    RED = "red"


def test_classes_of_other_types_are_refused_with_their_column():
    for value in (object(), [1, 2], frozenset({1}), Color.RED):
        with pytest.raises(ValueError, match="column 'y' of Y has the class"):
            gp().fit(X, pd.DataFrame({"y": column((value, "b"))}))
    with pytest.raises(ValueError, match="column 'y' of Y has the class"):
        gp(tasks=[btl.Task("y", btl.Categorical([1j, "a", "b"]))]).fit(X, pd.DataFrame({"y": column(("a", "b"))}))


def test_dates_are_classes_where_the_task_says_so_and_never_numbers():
    """pandas takes them for nanoseconds since 1970."""
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2020-02-01"] * 8))
    assert dates.dtype.kind == "M"
    with pytest.raises(
        ValueError, match=r"column 'y' of Y holds Timestamp.* a date or a duration: .* likelihood for classes"
    ):
        gp().fit(X, pd.DataFrame({"y": dates}))
    model = gp(tasks=[btl.Task("y", btl.Bernoulli())]).fit(X, pd.DataFrame({"y": dates}))
    assert model.tasks_[0].classes == (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01"))
    with pytest.raises(
        ValueError, match=r"column 'when' of X holds Timestamp.* a date or a duration: turn it into a number"
    ):
        gp().fit(X.assign(when=dates), pd.DataFrame({"y": range(16)}))


def test_intervals_of_cut_are_ordered_classes():
    model = gp().fit(X, pd.DataFrame({"y": pd.cut(X["x"], 3)}))
    assert isinstance(model.tasks_[0].likelihood, btl.Ordinal)
    assert all(isinstance(c, pd.Interval) for c in model.tasks_[0].classes)
