"""Every kind of cell in every place of a table: read as the number that it is, or refused with column, rows and cure."""

import datetime as dt
import decimal
import fractions

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.table.new_rows import feature_rows, known_labels
from bayestl.table.table import build_table

N = 6
NAMES = pd.Index([f"sample {k}" for k in range(N)])
X = pd.DataFrame({"a": np.arange(N) + 0.5, "b": np.ones(N)}, index=NAMES)
Y = pd.DataFrame({"s": np.arange(N) + 1.0, "t": np.arange(N) - 2.0}, index=NAMES)
TASKS = (btl.Task("s"), btl.Task("t"))


def in_frame(frame, name, values):
    """The table with other values in a column, with their type."""
    return frame.assign(**{name: pd.Series(values).set_axis(frame.index)})


def numbers_at(place, values, named=True):
    """The numbers (n,) that the package reads where a column of a place holds some values."""
    rows = NAMES if named else None
    x, y = (
        X.set_axis(rows) if named else X.reset_index(drop=True),
        Y.set_axis(rows) if named else Y.reset_index(drop=True),
    )
    if place == "X":
        return build_table(in_frame(x, "a", values), y).x[:, 0]
    if place == "Y":
        return build_table(x, in_frame(y, "s", values)).y[:, 0]
    if place == "Y_std":
        return build_table(x, y, in_frame(y * 0 + 1, "s", values)).labels.se[:, 0]
    if place == "new X":
        return feature_rows(in_frame(x, "a", values), ["a", "b"], True, "Model")[0][:, 0]
    if place == "observed":
        return known_labels(in_frame(y, "s", values), None, x.index, "observed", TASKS).y[:, 0]
    return known_labels(y, in_frame(y * 0 + 1, "s", values), x.index, "observed", TASKS).se[:, 0]


PLACES = {"X": ("a", "X"), "Y": ("s", "Y"), "Y_std": ("s", "Y_std"), "new X": ("a", "X"), "observed": ("s", "observed"),
          "observed_std": ("s", "observed_std")}  # fmt: skip
"""Where a column may be, with its name and the name of the table in messages."""

DAYS = ["2021-03-01", "2021-03-02", "2021-03-05", "2021-04-01", "2022-01-01", "2023-01-01"]
TIMES = {
    **{
        f"datetime64[{unit}]": np.array(DAYS, dtype=f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns", "D", "h")
    },
    **{
        f"timedelta64[{unit}]": np.arange(N).astype(f"timedelta64[{unit}]")
        for unit in ("s", "ms", "us", "ns", "D", "h")
    },
    "with a zone": pd.to_datetime(DAYS).tz_localize("Europe/Berlin"),
    "with NaT": pd.to_datetime([*DAYS[:-1], None]),
    "durations with NaT": pd.to_timedelta([1, 2, 3, 4, 5, None], unit="D"),
    "only NaT": pd.to_datetime([None] * N),
    "periods": pd.period_range("2021-01", periods=N, freq="M"),
    "timestamps": pd.Series([pd.Timestamp(d) for d in DAYS], dtype=object),
    "timedeltas": pd.Series([pd.Timedelta(days=k) for k in range(N)], dtype=object),
    "datetimes": pd.Series([dt.datetime(2021, 3, k + 1) for k in range(N)], dtype=object),
    "dates": pd.Series([dt.date(2021, 3, k + 1) for k in range(N)], dtype=object),
    "times of day": pd.Series([dt.time(k) for k in range(N)], dtype=object),
    "durations": pd.Series([dt.timedelta(k) for k in range(N)], dtype=object),
    "NumPy's in objects": pd.Series(list(np.array(DAYS, dtype="datetime64[D]")), dtype=object),
    "one among numbers": pd.Series([1.0, 2.0, pd.Timestamp("2021-03-01"), 4.0, 5.0, 6.0], dtype=object),
    "NaT among numbers": pd.Series([1.0, 2.0, pd.NaT, 4.0, 5.0, 6.0], dtype=object),
    "text": DAYS,
    "German text": ["1.3.2021", "2.3.2021", "5.3.2021", "1.4.2021", "1.1.2022", "1.1.2023"],
    "American text": ["3/1/2021", "3/2/2021", "3/5/2021", "4/1/2021", "1/1/2022", "1/1/2023"],
    "text with times": [f"{d}T12:00:00" for d in DAYS],
    "months in words": ["1 March 2021", "2 Mar 2021", "Mar 5, 2021", "Apr. 1 2021", "1. Jan 2022", "1 Jan 2023"],
    "text of durations": [f"{k} days" for k in range(N)],
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", TIMES)
def test_dates_and_durations_are_refused_everywhere(kind, place, named):
    column, table = PLACES[place]
    row = "'sample [0-5]'" if named else "[0-5]"
    with pytest.raises(
        ValueError, match=rf"column '{column}' of {table} holds .* in row {row}.*a date or a duration: .*number"
    ):
        numbers_at(place, TIMES[kind], named)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "D", "h", "Y"])
@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_arrays_of_dates_and_durations_are_refused(kind, unit):
    array = np.array([1, 2, 3, 4, 5, 6]).astype(f"{kind}[{unit}]")
    for x, y, y_std in [(array[:, None], Y, None), (X, array, None), (X, Y[["s"]], array)]:
        with pytest.raises(ValueError, match="a date or a duration"):
            build_table(x, y, y_std)
        with pytest.raises(ValueError, match="a date or a duration"):
            build_table(x, *(v if v is None or v is Y else list(v) if v is array else v for v in (y, y_std)))
    with pytest.raises(ValueError, match="a date or a duration"):
        build_table(np.ma.masked_array(array, array == array[0])[:, None], Y)


def test_dates_of_a_class_are_told():
    dates = pd.Series(pd.to_datetime(DAYS), index=NAMES)
    table = build_table(X, pd.DataFrame({"s": dates}), tasks=[btl.Task("s", btl.Categorical())])
    assert table.tasks[0].classes == tuple(dates)
    forty = pd.DataFrame({"s": [f"2021-{1 + k // 28:02d}-{1 + k % 28:02d}" for k in range(40)]})
    with pytest.raises(
        ValueError, match=r"column 's' of Y holds '2021-01-01' in row 0 \(also .* and 37 more\), a date"
    ):
        build_table(np.arange(40.0)[:, None], forty)


WRONG = {
    "words": (["1", "2", "iron", "4", "copper", "6"], "not a number"),
    "a missing value as text": (["1", "2", "nan", "4", "NA", "6"], "not a number"),
    "empty text": (["1", "2", "", "4", " ", "6"], "not a number"),
    "a lower limit": ([1.0, 2.0, ">5", 4.0, ">=5", 6.0], "limit"),
    "an upper limit": ([1.0, 2.0, "<0.1", 4.0, "< 0.1", 6.0], "limit"),
    "limits of Unicode": ([1.0, 2.0, "≤0.1", 4.0, "≥3", 6.0], "limit"),
    "an interval": ([1.0, 2.0, "1..2", 4.0, "0.5 .. 1", 6.0], "limit"),
    "decimal commas": ([1.0, 2.0, "0,5", 4.0, "1,5", 6.0], "a decimal needs a point"),
    "units": ([1.0, 2.0, "3 eV", 4.0, "5eV", 6.0], "Task\\(unit=\\)"),
    "errors": ([1.0, 2.0, "3.1±0.1", 4.0, "5(1)", 6.0], "Y_std"),
    "bytes": ([1.0, 2.0, b"1", 4.0, b"2", 6.0], "bytes"),
    "lists": ([1.0, 2.0, [1], 4.0, [1, 2], 6.0], "a cell holds one number"),
    "arrays": ([1.0, 2.0, np.ones(2), 4.0, np.ones(1), 6.0], "a cell holds one number"),
    "compositions": ([1.0, 2.0, {"Fe": 1}, 4.0, {"O": 1}, 6.0], "CompositionFeatures"),
    "objects": ([1.0, 2.0, object(), 4.0, object(), 6.0], "not a number"),
    "intervals": ([1.0, 2.0, pd.Interval(0, 1), 4.0, pd.Interval(1, 2), 6.0], "not a number"),
    "numbers beyond all": ([1.0, 2.0, 10**400, 4.0, -(10**4000), 6.0], "use other units"),
    "fractions beyond all": (
        [1.0, 2.0, fractions.Fraction(10**400), 4.0, decimal.Decimal("1e400"), 6.0],
        "units|infinity",
    ),
    "infinity": ([1.0, 2.0, np.inf, 4.0, -np.inf, 6.0], "infinity"),
    "infinity as text": ([1.0, 2.0, "inf", 4.0, "-Infinity", 6.0], "infinity"),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_number_is_refused_with_all_its_rows(kind, place, named):
    values, cure = WRONG[kind]
    column, table = PLACES[place]
    rows = ("'sample 2'", "'sample 4'") if named else ("2", "4")
    with pytest.raises(ValueError, match=cure) as caught:
        numbers_at(place, pd.Series(values, dtype=object).to_numpy(), named)
    message = str(caught.value)
    assert message.startswith(f"column {column!r} of {table} holds ")
    assert f"in row {rows[0]} (also " in message
    assert f" in row {rows[1]})" in message
    if kind.endswith("limit") and place in ("Y", "observed"):
        assert "Task('s', likelihood=Censored())" in message


@pytest.mark.parametrize("place", [place for place in PLACES if place != "Y"])  # such labels are classes
def test_the_cells_of_a_column_are_counted_and_three_are_shown(place):
    with pytest.raises(
        ValueError, match=r"'u' in row 'sample 1' \(also 'v' in row 'sample 2', 'w' in row 'sample 3' and 2 more\)"
    ):
        numbers_at(place, pd.Series([1.0, "u", "v", "w", "x", "y"], dtype=object).to_numpy())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "values", [np.arange(N) * 1j, pd.Series([1.0, 2.0, 3j, 4.0, 5.0, 6.0], dtype=object).to_numpy()]
)
def test_complex_numbers_are_refused(values, place):
    with pytest.raises(ValueError, match="Complex data not supported: column"):
        numbers_at(place, values)


ONE = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
READ = {
    "integers": np.array([1, 0, 1, 0, 1, 1]),
    "bytes of numbers": np.array([1, 0, 1, 0, 1, 1], dtype=np.uint8),
    "half": np.array(ONE, dtype=np.float16),
    "long": np.array(ONE, dtype=np.longdouble),
    "Int64": pd.array([1, 0, 1, 0, 1, 1], dtype="Int64"),
    "Float64": pd.array(ONE, dtype="Float64"),
    "sparse": pd.arrays.SparseArray(ONE),
    "objects": np.array([1, 0, 1.0, 0, np.float32(1), np.int8(1)], dtype=object),
    "decimals": np.array([decimal.Decimal(int(v)) for v in ONE], dtype=object),
    "fractions": np.array([fractions.Fraction(int(v)) for v in ONE], dtype=object),
    "text": ["1", "0", " 1 ", "0.0", "1e0", "+1"],
    "string": pd.array(["1", "0", "1", "0", "1", "1"], dtype="string"),
    "mixed": np.array([1, "0", decimal.Decimal(1), 0.0, fractions.Fraction(1), "1"], dtype=object),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", READ)
def test_numbers_of_any_type_are_read(kind, place):
    np.testing.assert_array_equal(numbers_at(place, READ[kind]), ONE)


@pytest.mark.parametrize("place", ["X", "new X", "Y_std", "observed_std"])
@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_truth_values_are_zero_and_one(dtype, place):
    np.testing.assert_array_equal(numbers_at(place, pd.array([True, False, True, False, True, True], dtype=dtype)), ONE)


MISSING = {
    "NaN": np.array([1, np.nan, 1, 0, 1, 1]),
    "Int64": pd.array([1, None, 1, 0, 1, 1], dtype="Int64"),
    "Float64": pd.array([1, None, 1, 0, 1, 1], dtype="Float64"),
    "boolean": pd.array([1, None, 1, 0, 1, 1], dtype="Int8"),
    "None": np.array([1, None, 1, 0, 1, 1], dtype=object),
    "NA": np.array([1, pd.NA, 1, 0, 1, 1], dtype=object),
    "NaN in objects": np.array([1, np.nan, 1, 0, 1, 1], dtype=object),
    "Decimal NaN": np.array([1, decimal.Decimal("NaN"), 1, 0, 1, 1], dtype=object),
    "None and text": np.array(["1", None, "1", "0", "1", "1"], dtype=object),
    "string": pd.array(["1", None, "1", "0", "1", "1"], dtype="string"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_labels_are_missing_and_missing_features_are_refused(kind):
    for place in ("Y", "observed"):
        np.testing.assert_array_equal(numbers_at(place, MISSING[kind]), [1, np.nan, 1, 0, 1, 1])
    np.testing.assert_array_equal(numbers_at("Y_std", MISSING[kind]), [1, 0, 1, 0, 1, 1])
    for place in ("X", "new X"):
        with pytest.raises(
            ValueError, match=r"column 'a' of X holds nan in row 'sample 1' .*: impute it or drop the row"
        ):
            numbers_at(place, MISSING[kind])


@pytest.mark.parametrize(
    "text", ["{}.5 eV", "{},5", "~{}", "{}±0.1", "{}.1(2)", "{} GPa", "-{}.5e3 K", "sample {}", "Fe{}", "word{}x"]
)
@pytest.mark.parametrize("n", [10, 40, 60])
def test_names_and_numbers_with_units_do_not_become_classes(text, n):
    labels = pd.DataFrame({"s": [text.format(k) for k in range(n)]})
    with pytest.raises(ValueError, match=r"column 's' of Y holds .* (not a number|no classes)"):
        build_table(np.arange(float(n))[:, None], labels)
    few = labels.assign(s=[text.format(k % 3) for k in range(n)])
    assert len(build_table(np.arange(float(n))[:, None], few).tasks[0].classes) == 3


@pytest.mark.parametrize("place", ["Y", "observed"])
def test_limits_are_read_where_the_task_is_censored(place):
    told = [btl.Task("s", btl.Censored())]

    def read(values):
        frame = pd.DataFrame({"s": values}, index=NAMES)
        if place == "Y":
            return build_table(X, frame, tasks=told).labels
        return known_labels(frame, None, NAMES, "observed", told)

    labels = read(["<0.1", "≤0.1", 2, decimal.Decimal(3), "1..2", None])
    np.testing.assert_array_equal(labels.y[:, 0], [-np.inf, -np.inf, 2, 3, 1, np.nan])
    np.testing.assert_array_equal(labels.high[:, 0], [0.1, 0.1, 2, 3, 2, np.nan])
    for bad, words in [
        (
            ["<0.1", "n.d.", 2, [1], "< x", 10**400],
            r"'n.d.' in row 'sample 1' \(also \[1\] in row 'sample 3', .* and 1 more\): a number",
        ),
        (["0.1...3", 1, 2, "1...5", 1, 1], r"'0.1...3' in row 'sample 0' \(also '1...5' in row 'sample 3'\): a number"),
        (["2..1", 1, 2, "3..2", 1, 1], r"'2..1' in row 'sample 0' \(also '3..2' in row 'sample 3'\): the lower end"),
        ([pd.Timestamp("2021"), 1, 2, pd.NaT, 1, 1], "a date or a duration"),
    ]:
        with pytest.raises(ValueError, match=words):
            read(bad)
