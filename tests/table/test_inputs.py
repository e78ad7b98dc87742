"""Tables, arrays and columns of all libraries: read as what they hold, or refused in words; groups and rows by their names."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import bayestl as btl
from bayestl.table.groups import encode_groups
from bayestl.table.new_rows import known_labels
from bayestl.table.table import build_table

N = 6
NAMES = pd.Index([f"sample {k}" for k in range(N)])
X = pd.DataFrame({"a": np.arange(N) + 0.5, "b": np.ones(N)}, index=NAMES)
Y = pd.DataFrame({"s": np.arange(N) + 1.0, "t": np.arange(N) - 2.0}, index=NAMES)
TASKS = (btl.Task("s"), btl.Task("t"))
DAYS = ["2021-03-01", "2021-03-02", "2021-03-05", "2021-04-01", "2022-01-01", "2023-01-01"]


@pytest.mark.parametrize("dtype", [float, np.float32, int, object])
@pytest.mark.parametrize("shape", ["column", "matrix"])
def test_a_mask_is_a_missing_label_and_no_feature(dtype, shape):
    values = np.arange(N).astype(dtype)
    mask = np.arange(N) == 2
    masked = np.ma.masked_array(values, mask)
    expected = np.where(mask, np.nan, np.arange(N))
    y = masked if shape == "column" else np.ma.column_stack([masked, masked])
    np.testing.assert_array_equal(build_table(X, y).y[:, 0], expected)
    labels = known_labels(y, None, NAMES, "observed", TASKS[: 1 if shape == "column" else 2])
    np.testing.assert_array_equal(labels.y[:, 0], expected)
    np.testing.assert_array_equal(build_table(X, Y["s"], masked).labels.se[:, 0], np.where(mask, 0, np.arange(N)))
    with pytest.raises(ValueError, match=r"column 'x0' of X holds nan in row 2 .*masked"):
        build_table(np.ma.column_stack([masked, values]), Y)
    np.testing.assert_array_equal(build_table(np.ma.column_stack([values, values]), Y).x[:, 0], np.arange(N))
    groups = np.ma.masked_array(np.array(list("abcabc"), dtype=object), mask)
    assert encode_groups(groups, NAMES)[0].tolist() == [0, 1, -1, 0, 1, 2]


def test_tensors_count_without_their_gradients():
    x = torch.tensor(X.to_numpy(), requires_grad=True)
    y = torch.tensor(Y["s"].to_numpy(), requires_grad=True)
    table = build_table(x, y, torch.ones(N, requires_grad=True), torch.arange(N) % 2)
    np.testing.assert_array_equal(table.x, X)
    np.testing.assert_array_equal(table.y[:, 0], Y["s"])
    assert table.group.tolist() == [0, 1] * 3
    model = btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False).fit(x, y)
    assert model.predict(x).shape == (N,)
    assert np.isfinite(model.posterior(x, observed=y).mean.to_numpy()).all()


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_matrices_are_refused_in_words(form):
    for place, tables in {
        "X": (form(X), Y),
        "Y": (X, form(Y)),
        "Y_std": (X, Y, form(Y)),
        "groups": (X, Y, None, form(Y)),
    }.items():
        with pytest.raises(ValueError, match=rf"{place} is a sparse matrix, .*: give {place}.toarray\(\)"):
            build_table(*tables)
    with pytest.raises(ValueError, match="observed is a sparse matrix"):
        known_labels(form(Y), None, NAMES, "observed", TASKS)


def test_empty_and_ragged_tables_are_refused_in_words():
    for x, y, words in [
        (np.empty((0, 2)), np.empty(0), "0 sample"),
        (X.iloc[:0], Y.iloc[:0], "0 sample"),
        (np.empty((N, 0)), Y, "0 feature"),
        (X[[]], Y, "0 feature"),
        (X, Y[[]], "Y has no columns"),
        (X, np.empty((N, 0)), "Y has no columns"),
        (X, [], "Y has 0"),
        (X, pd.DataFrame(), "Y has 0"),
        (X, 3.0, "one or two dimensions"),
        (X, [[1.0], [1.0, 2.0]], "Y has rows of different lengths"),
        ([[1.0], [1.0, 2.0]], Y, "X has rows of different lengths"),
    ]:
        with pytest.raises(ValueError, match=words):
            build_table(x, y)


def test_lists_keep_what_is_missing_beside_text():
    table = build_table(X, ["a", None, "b", np.nan, "a", "b"])
    assert table.tasks[0].classes == ("a", "b")
    np.testing.assert_array_equal(table.present[:, 0], [True, False, True, False, True, True])
    np.testing.assert_array_equal(
        build_table(X, ["1", None, 2, np.nan, 4.5, "5"]).y[:, 0], [1, np.nan, 2, np.nan, 4.5, 5]
    )
    for word in ("NA", "nan", "None", "null", "<NA>", "", "n/a"):
        with pytest.raises(ValueError, match=r"column 's' of Y holds .* in row 'sample 1'.* may be a missing label"):
            build_table(X, pd.DataFrame({"s": ["a", word, "b", "a", "a", "b"]}, index=NAMES))
        told = [btl.Task("s", btl.Categorical(["a", "b", word]))]
        build_table(X, pd.DataFrame({"s": ["a", word, "b", "a", "a", "b"]}, index=NAMES), tasks=told)
        with pytest.raises(ValueError, match="none of the classes"):
            known_labels(
                pd.DataFrame({"s": ["a", word]}),
                None,
                pd.RangeIndex(2),
                "observed",
                [btl.Task("s", btl.Categorical(["a", "b", "c"]))],
            )


def test_rows_of_arrays_have_the_names_of_the_features():
    for bad, words in [
        ([1.0, "iron", 3, 4, 5, 6], "'iron' in row 'sample 1'"),
        ([1, np.inf, 3, 4, 5, 6], "inf in row 'sample 1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            build_table(X, np.array(bad, dtype=object))
        with pytest.raises(ValueError, match=words):
            build_table(X, pd.Series(bad, name="s"))
        with pytest.raises(ValueError, match=words):
            known_labels(np.array(bad, dtype=object), None, NAMES, "observed", TASKS[:1])
    shifted = X.iloc[2:].set_axis(pd.RangeIndex(10, 14))
    with pytest.raises(ValueError, match="nan in row 12"):
        build_table(shifted.assign(a=[1.0, 2.0, np.nan, 3.0]), Y.iloc[2:].set_axis(shifted.index))


GROUPS = [
    [1, 2, 3, 1, 2, None],
    [1.0, 2.0, 3.0, 1.0, 2.0, np.nan],
    ["1", "2", "3", "1", "2", None],
    ["1.0", "2.0", "3.0", "1.0", "2.0", None],
]
GROUPS += [pd.array([1, 2, 3, 1, 2, None], dtype="Int64"), np.array([1, "2", 3.0, "1", 2, pd.NA], dtype=object)]


@pytest.mark.parametrize("then", range(len(GROUPS)))
@pytest.mark.parametrize("now", range(len(GROUPS)))
def test_a_number_and_its_text_are_one_group(now, then):
    codes, names = encode_groups(GROUPS[then], NAMES)
    assert codes.tolist() == [0, 1, 2, 0, 1, -1]
    again, more = encode_groups(GROUPS[now], NAMES, names)
    assert again.tolist() == codes.tolist()
    assert more == names
    new, more = encode_groups(["1", "x", 3, "01", 4, None], NAMES, names)
    assert new.tolist() == [0, 3, 2, 4, 5, -1]


def test_a_missing_group_as_text_is_refused():
    for word in ("nan", "NaN", "<NA>", "NaT"):
        with pytest.raises(
            ValueError, match=r"groups= holds .* in row 'sample 1', the text of a missing value: give None"
        ):
            encode_groups(["a", word, "b", "a", "a", "b"], NAMES)


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_dates_of_groups_are_the_same_in_arrays_and_columns(unit):
    array = np.array(DAYS, dtype=f"datetime64[{unit}]")
    array[1] = np.datetime64("NaT")
    codes, names = encode_groups(array, NAMES)
    assert codes.tolist() == [0, -1, 1, 2, 3, 4]
    for other in (pd.Series(array, index=NAMES), list(array), [pd.Timestamp(v) for v in array]):
        assert encode_groups(other, NAMES, names)[1] == names


def test_rows_named_by_numbers_are_recognised_where_their_names_are_text():
    model = btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False)
    model.fit(X.set_axis(pd.Index([101, 102, 103, 104, 105, 106])), Y["s"].to_numpy())
    some = X.iloc[[1, 3]].set_axis(pd.Index(["102", "104"]))
    assert model._rows(some).row.tolist() == [1, 3]


def test_scores_take_weights_and_no_standard_errors():
    model = btl.IndependentGP(n_starts=1, hyperparameters="map", verbose=False).fit(X, Y)
    assert model.score(X, Y, np.ones(N)) == pytest.approx(model.score(X, Y))
    for weights in (
        Y,
        np.ones((N, 2)),
        pd.Series(np.ones(N), index=NAMES, name="s"),
        np.ones(N - 1),
        [-1.0] * N,
        [np.nan] * N,
        ["a"] * N,
    ):
        with pytest.raises(ValueError, match=r"sample_weight must hold .* log_density\(X, Y, Y_std\)"):
            model.score(X, Y, weights)


def test_standard_errors_in_one_column_of_any_form():
    se = np.full(N, 0.3)
    for y in (Y["s"], Y[["s"]], Y["s"].to_numpy(), Y[["s"]].to_numpy()):
        for given in (se, se[:, None], list(se), pd.Series(se, index=NAMES), pd.Series(se, index=NAMES, name="error")):
            np.testing.assert_array_equal(build_table(X, y, given).labels.se[:, 0], se)
    with pytest.raises(ValueError, match="Y_std has 1 columns where 2 are expected"):
        build_table(X, Y, se)
