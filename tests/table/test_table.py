import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayestl as btl
from bayestl.inference.gaussian.table_labels import training_data
from bayestl.table.graph import followed_levels, levels_without, order_graph, order_levels
from bayestl.table.groups import encode_groups
from bayestl.table.scaler import Scaler
from bayestl.table.table import build_table

X = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 1.0, 1.0]})
Y = pd.DataFrame({"s": [1.0, 2.0, np.nan], "t": [np.nan, 5.0, 7.0]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: (X.assign(a=[0.0, np.nan, 1.0]), Y), ["'a'", "row 1", "nan"]),
        (lambda: (X.assign(b=[0.0, 1.0, np.inf]), Y), ["'b'", "row 2", "inf"]),
        (lambda: (X.assign(a=["1", "2", "iron"]), Y), ["'a'", "row 2", "'iron'"]),
        (lambda: (pd.concat([X, X[["a"]]], axis=1), Y), ["2 columns named 'a'"]),
        (lambda: (X, Y.assign(s=np.nan)), ["'s'", "no labels"]),
        (lambda: (X, Y.assign(s=[1.0, np.inf, 2.0])), ["'s'", "row 1", "inf"]),
        (lambda: (X, Y.assign(s=["1", "2", "three"])), ["'s'", "row 2", "'three'"]),
        (lambda: (X, Y.assign(s=["red", "red", None])), ["'s'", "only the class 'red'"]),
        (lambda: (X, Y.iloc[:2]), ["inconsistent", "3 rows", "Y has 2"]),
        (lambda: (X.set_axis(["u", "v", "w"]), Y.set_axis(["w", "v", "u"])), ["another order"]),
        (lambda: (X.iloc[:0], Y.iloc[:0]), ["0 sample"]),
        (lambda: (X, Y[[]]), ["no columns"]),
    ],
)
def test_bad_input_is_named(change, words):
    x, y = change()
    with pytest.raises(ValueError) as caught:
        build_table(x, y)
    for word in words:
        assert word in str(caught.value)


def test_negative_standard_error_is_named():
    with pytest.raises(ValueError, match=r"'t' of Y_std holds -1\.0 in row 1"):
        build_table(X, Y, Y_std=pd.DataFrame({"s": [0.1] * 3, "t": [0.1, -1.0, 0.1]}))


def test_standard_errors_are_matched_by_name():
    table = build_table(X, Y, Y_std=pd.DataFrame({"t": [0.0, 0.5, 0.6], "s": [0.1, 0.2, 0.3]}))
    np.testing.assert_allclose(table.labels.se, [[0.1, 0.0], [0.2, 0.5], [0.0, 0.6]])


def test_text_that_is_numbers_is_read():
    table = build_table(X.assign(a=["0", "1", "2"]), Y)
    np.testing.assert_allclose(table.x[:, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (["s", "u"], "'u', which is no column"),
        (["s", "s"], "twice"),
        (["s"], "'t' of Y is not in levels"),
        ("s", "a list"),
    ],
)
def test_bad_levels_are_named(levels, words):
    with pytest.raises(ValueError, match=words):
        order_levels(levels, ["s", "t"])


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"s": None, "t": "u"}, "'u', which is no column"),
        ({"s": None, "u": "s", "t": "s"}, "'u', which is no column"),
        ({"s": None}, "'t' of Y is not in levels"),
        ({"s": ["t"]}, "name of one level"),
        ({"s": "s", "t": "s"}, "circle: 's' follows 's'"),
        ({"s": "t", "t": "s"}, "circle: 's' follows 't' follows 's'"),
    ],
)
def test_bad_trees_of_levels_are_named(levels, words):
    with pytest.raises(ValueError, match=words):
        followed_levels(levels, ["s", "t"])


def test_levels_follow_each_other_or_one_that_is_named():
    columns = ["s", "t", "u"]
    assert followed_levels(["t", "u", "s"], columns) == {1: None, 2: 1, 0: 2}
    assert followed_levels({"s": "t", "u": "t"}, columns) == {0: 1, 1: None, 2: 1}
    assert levels_without(["t", "u", "s"], "u") == ["t", "s"]
    assert levels_without({"s": "u", "u": "t"}, "u") == {"t": None, "s": "t"}
    assert levels_without({"s": "t", "u": "t"}, "t") == {"s": None, "u": None}
    for name in columns:
        rest = [c for c in columns if c != name]
        assert set(followed_levels(levels_without({"s": "u", "u": "t"}, name), rest)) == {0, 1}


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({"s": ["t"], "t": ["s"]}, "cycle among"),
        ({"s": ["s"]}, "cycle"),
        ({"u": ["s"]}, "'u', which is no column"),
        ({"s": ["v"]}, "'v', which is no column"),
        ({"s": "t"}, "must be a list"),
        ({"s": ["t", "t"]}, "same parent twice"),
    ],
)
def test_bad_graphs_are_named(graph, words):
    with pytest.raises(ValueError, match=words):
        order_graph(graph, ["s", "t"])


def test_parents_come_first():
    order = order_graph({"a": ["b", "c"], "b": ["c"]}, ["a", "b", "c"])
    assert list(order) == [2, 1, 0]
    assert order[0] == (1, 2)


def test_tasks_without_an_order_keep_that_of_the_columns():
    assert list(order_graph({"a": ["e"], "d": ["e"]}, list("abcde"))) == [1, 2, 4, 0, 3]


def test_a_cycle_is_named_by_its_tasks():
    with pytest.raises(ValueError, match=r"cycle among \['b', 'd'\]"):
        order_graph({"a": ["b"], "b": ["d"], "d": ["b", "c"]}, list("abcd"))


def test_unknown_and_repeated_tasks_are_refused():
    with pytest.raises(ValueError, match="'z', which is no column"):
        build_table(X, Y, tasks=[btl.Task("z")])
    with pytest.raises(ValueError, match="twice"):
        build_table(X, Y, tasks=[btl.Task("s"), btl.Task("s")])
    with pytest.raises(ValueError, match="cost must be a positive"):
        btl.Task("s", cost=0.0)


def test_groups_are_encoded_and_missing_ones_marked():
    codes, names = encode_groups(["b", None, "a", "b"], pd.RangeIndex(4))
    assert codes.tolist() == [0, -1, 1, 0]
    assert names == ("b", "a")
    with pytest.raises(ValueError, match="2 entries for 3 rows"):
        encode_groups(["a", "b"], pd.RangeIndex(3))


def test_groups_may_be_of_any_type_and_known_ones_come_first():
    groups = pd.Series([("x", 1), 2.0, "2", None, 3, np.nan, ("x", 1)], dtype=object)
    codes, names = encode_groups(groups, groups.index, known=(2, "z"))
    assert codes.tolist() == [2, 0, 0, -1, 3, -1, 2]
    assert names == (2, "z", "('x', 1)", 3)  # as a saved model has them; "2" and 2 are one group


@pytest.mark.parametrize("known", [(1, 2), (1.0, 2.0), ("1", "2"), (2, 1), ("1", 2)])
@pytest.mark.parametrize("new", [["1", "2", "x"], [1, 2, "x"], [1.0, "2", "x"], [np.float64(1), np.int64(2), "x"]])
def test_a_known_group_is_known_by_its_spelling(known, new):
    codes, names = encode_groups(pd.Series(new, dtype=object), pd.RangeIndex(3), known)
    assert [names[c] for c in codes[:2]] == [next(k for k in known if float(k) == v) for v in (1, 2)]
    assert names[codes[2]] == "x"
    assert names[:2] == known
    assert encode_groups(["1.5", "01"], pd.RangeIndex(2), (1.0, 2))[0].tolist() == [2, 3]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_scaling_is_undone_and_long_form_loses_nothing(data):
    n, d, n_tasks = (data.draw(st.integers(1, 6)) for _ in range(3))
    numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 12))
    x = np.array(data.draw(st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=n, max_size=n)))
    y = np.array(
        data.draw(
            st.lists(
                st.lists(st.one_of(numbers, st.just(np.nan)), min_size=n_tasks, max_size=n_tasks),
                min_size=n,
                max_size=n,
            )
        )
    )
    y[0] = data.draw(st.lists(numbers, min_size=n_tasks, max_size=n_tasks))
    table = build_table(x, y)
    scaler = Scaler.of(table)
    scaled = np.column_stack([scaler.labels(y[:, p.task], p, table.tasks[p.task]) for p in table.parts])
    np.testing.assert_allclose(scaler.label_units(scaled), y, rtol=1e-9, atol=1e-6)
    assert np.isfinite(scaler.features(x)).all()
    labels = training_data(table, scaler, table.parts, scaler.features(x))
    rows = labels.rows
    assert len(labels) == (~np.isnan(y)).sum()
    back = scaler.label_units(np.full((len(labels), n_tasks), 1.0) * labels.y.numpy()[:, None])
    task = labels.points.task.numpy()
    np.testing.assert_allclose(back[np.arange(len(labels)), task], y[rows.numpy(), task], rtol=1e-9, atol=1e-6)
    assert (np.diff(task) >= 0).all()


def test_names_of_another_type_or_the_same_numbers_in_another_order():
    rows = pd.Index(["u", "v", "w"])
    same = Y.set_axis(rows.astype("string"))
    np.testing.assert_array_equal(build_table(X.set_axis(rows), same).y, build_table(X, Y).y)
    with pytest.raises(ValueError, match="the same rows in another order"):
        build_table(X, Y.iloc[[2, 0, 1]])  # X only counts its rows, but Y says which of them are which
    build_table(X, Y.set_axis([7, 3, 9]))  # numbers that X does not have: taken row by row


def test_a_class_has_no_standard_error():
    labels = pd.DataFrame({"s": [1.0, 2.0, 3.0], "t": ["a", "b", "a"]})
    build_table(X, labels, Y_std=pd.DataFrame({"s": [0.1] * 3}))
    with pytest.raises(ValueError, match=r"'t' of Y_std holds 0\.2 in row 1: a class has no standard error"):
        build_table(X, labels, Y_std=pd.DataFrame({"s": [0.1] * 3, "t": [0.0, 0.2, 0.0]}))
