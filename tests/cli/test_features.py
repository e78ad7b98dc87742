"""Which columns become features, and how the commands treat labels, standard errors, names and groups."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayestl as btl
from bayestl.cli import app
from bayestl.cli.features import Inputs, choose_features, of_predict
from bayestl.cli.inputs import names_in, similar
from bayestl.cli.labels import like_errors, standard_errors
from bayestl.cli.reading import read

N = 12


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def frame(**further):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=N).round(3)
    formulas = [f"{a}{b}" for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")]
    return pd.DataFrame({"formula": formulas, "x": x, "gap": (2 * x + 1).round(3), **further})


def saved(tmp_path, table, name="t.csv"):
    table.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def chosen(tmp_path, table, spec=None, taken=None):
    said = []
    kinds = choose_features(read(saved(tmp_path, table)), spec, taken or {"gap": "a label"}, said.append)
    return kinds, "; ".join(said)


LEFT_OUT = {
    "row numbers from 0": ("a", range(N), "row numbers"),
    "row numbers from 1": ("a", range(1, N + 1), "row numbers"),
    "nameless": ("", range(5, 5 + N), "it has no name"),
    "pandas": ("Unnamed: 0", range(5, 5 + N), "it has no name"),
    "constant": ("T", [300] * N, "constant"),
    "constant truth": ("ok", [True] * N, "constant"),
    "empty": ("a", [None] * N, "empty"),
    "missing only": ("a", ["NA"] * N, "empty"),
    "dates": ("day", [f"2024-01-{k:02}" for k in range(1, N + 1)], "dates"),
    "limits": ("lod", ["<0.1", *np.arange(1.5, N)], "limits"),
    **{
        name: (name, np.random.default_rng(1).permutation(100)[:N], "an ID")
        for name in (
            "id",
            "ID",
            "index",
            "No.",
            "Nr",
            "#",
            "number",
            "sample",
            "mp-id",
            "sample_id",
            "icsd id",
            "sampleID",
            "Probe",
        )
    },
    "one code": (
        "angle",
        ["05", *map(str, range(10, 10 + N - 1))],
        "zeros in front, as of codes; numbers:angle reads numbers",
    ),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_columns_that_say_nothing_are_left_out_with_a_word(tmp_path, kind):
    name, values, reason = LEFT_OUT[kind]
    table = frame()
    table.insert(1, name, list(values))
    kinds, said = chosen(tmp_path, table)
    assert kinds == {"x": "numbers"}
    assert f"{name or 'Unnamed: 1'!r} ({reason})" in said or f"'{name or 'Unnamed: 1'}' ({reason})" in said


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("layers", [1, 2, 3] * 4),
        ("atomic number", [3, 11, 19, 37, 55, 4, 12, 20, 38, 56, 5, 13]),
        ("solid", np.arange(N) * 1.5),
        ("id", np.arange(N) * 1.5),
        ("period", [2, 2, 3, 3] * 3),
        ("humid", np.random.default_rng(0).permutation(N)),
        ("partly empty", [300, None] * 6),
    ],
)
def test_other_numbers_stay_features(tmp_path, name, values):
    kinds, _ = chosen(tmp_path, frame(**{name: values}))
    assert kinds == {"x": "numbers", name: "numbers"}


def test_text_is_offered_as_what_it_is(tmp_path):
    smiles = ["CCO", "c1ccccc1", "CC(=O)C"] * 4
    table = frame(
        facet=["(111)", "(110)"] * 6, solvent=smiles, note=[f"it is no. {k}" for k in range(N)], ok=[True, False] * 6
    )
    kinds, said = chosen(tmp_path, table)
    assert kinds == {"x": "numbers", "ok": "categories"}
    assert "--features x,ok,composition:formula,categories:facet,molecules:solvent" in said
    assert "note" not in said
    with pytest.raises(
        ValueError, match="no numeric feature columns are left: name them with --features, such as composition:formula"
    ):
        chosen(tmp_path, frame().drop(columns="x"))


def test_a_misprint_in_a_column_of_numbers_is_no_text(tmp_path):
    table = frame(p=["1.5", "2,5", "o.1", *["3.25"] * (N - 3)])
    with pytest.raises(
        ValueError, match=r"'2,5' in line 3, 'o\.1' in line 4: no number; .*or name other columns in --features"
    ):
        chosen(tmp_path, table)
    assert chosen(tmp_path, table, "x")[0] == {"x": "numbers"}


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ("formula", {"formula": "formulas"}),
        ("composition:formula,x", {"formula": "formulas", "x": "numbers"}),
        ("x, facet", {"x": "numbers", "facet": "categories"}),
        ("numbers:x,categories:facet", {"x": "numbers", "facet": "categories"}),
        ("categories:x", {"x": "categories"}),
        ("molecules:gas", {"gas": "smiles"}),
        ("composition:gas", {"gas": "formulas"}),
        ('"p, bar"', {"p, bar": "numbers"}),
        ('x,"p, bar",a:b', {"x": "numbers", "p, bar": "numbers", "a:b": "numbers"}),
        ("numbers:a:b", {"a:b": "numbers"}),
        ("composition:x", {"composition:x": "numbers"}),
        ("id", {"id": "numbers"}),
    ],
)
def test_what_is_named_is_taken(tmp_path, spec, kinds):
    further = {"facet": ["(111)", "(110)"] * 6, "gas": ["CO", "CN"] * 6, "id": range(N)}
    odd = {"p, bar": np.arange(N) / 4, "a:b": np.arange(N) / 8, "composition:x": np.arange(N) / 2}
    assert chosen(tmp_path, frame(**further, **odd), spec)[0] == kinds


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gap", "--features: 'gap' is a label, which cannot be a feature"),
        ("categories:gap", "'gap' is a label"),
        ("gas", "say what it is, composition:gas, molecules:gas or categories:gas"),
        ("volume", "the file has no column 'volume'"),
        ("formulas:formula", "neither a column nor one of numbers:COLUMN, categories:COLUMN, composition:COLUMN"),
        ("x,categories:x", "names 'x' twice, as numbers and categories"),
        ("day", "holds dates"),
    ],
)
def test_what_cannot_be_a_feature_is_refused(tmp_path, spec, words):
    days = pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d")
    with pytest.raises(ValueError, match="--features") as error:
        chosen(tmp_path, frame(gas=["CO", "CN"] * 6, day=days), spec)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [("a, b", ["a", "b"]), ('"a, b",c', ["a, b", "c"]), (None, []), ('"say ""x""",', ['say "x"'])],
)
def test_names_with_commas_are_quoted(text, names):
    assert names_in(text, "--features") == names


@pytest.mark.parametrize("kind", ["numbers", "categories", "formulas", "smiles"])
def test_what_is_learnt_of_columns_is_kept_as_json(tmp_path, kind):
    columns = {
        "numbers": [1.5, None, 3.0],
        "categories": ["a", "b", ""],
        "formulas": ["GaAs", "ZnO", ""],
        "smiles": ["CO", "CC", ""],
    }
    table = read(saved(tmp_path, pd.DataFrame({"c": columns[kind], "x": [1, 2, 3]})))
    inputs = Inputs({"c": kind, "x": "numbers"}, ["fractions"])
    expected = inputs.fit(table)
    assert "c is missing" in expected
    again = Inputs.from_json(json.loads(json.dumps(inputs.to_json())))
    pd.testing.assert_frame_equal(again.transform(table), expected)
    other = read(saved(tmp_path, pd.DataFrame({"x": ["", 5], "c": [columns[kind][0], ""]}), "o.csv"))
    assert again.empty_cells(other, marked=False) == {"x": 1}
    pd.testing.assert_frame_equal(again.transform(other), inputs.transform(other))


@pytest.mark.parametrize(("kind", "bad"), [("formulas", "Xx2"), ("smiles", "C(C")])
def test_all_texts_that_do_not_parse_are_counted(tmp_path, kind, bad):
    good = {"formulas": "GaAs", "smiles": "CCO"}[kind]
    table = read(saved(tmp_path, pd.DataFrame({"c": [good, bad, good, bad, bad, bad], "x": range(6)})))
    with pytest.raises(ValueError, match=r"in line 3, .* in line 5, .* in line 6 and 1 more: no"):
        Inputs({"c": kind}, ["fractions"]).fit(table)


def test_standard_errors_are_found_or_named(tmp_path):
    table = read(saved(tmp_path, frame(gap_std=0.1, gap_err=0.2, s=0.3, dft=1.0)))
    said = []
    assert standard_errors(table, None, ["gap", "dft"], said.append) == {"gap": "gap_std"}
    assert said == ["'gap_std' is taken for the standard errors of 'gap'"]
    assert standard_errors(table, "gap=s", ["gap"], said.append) == {"gap": "s"}
    assert like_errors(table, ["gap"], {"gap": "gap_std"}) == {"gap_err": "gap"}
    for option, words in (
        ("x=s", "is not TASK=COLUMN"),
        ("gap", "is not TASK=COLUMN"),
        ("gap=t", "no column 't'"),
        ("gap=dft", "is a label"),
    ):
        with pytest.raises(ValueError, match=words):
            standard_errors(table, option, ["gap", "dft"], said.append)


def test_predictions_are_no_features(tmp_path):
    parts = {f"gap_{p}": np.arange(N) / 3 for p in ("mean", "std", "median", "lower", "upper")}
    table = frame(
        **parts, colour_class=["a", "b"] * 6, colour_p_a=0.5, colour_p_b=np.arange(N) / N, dft_mean=np.arange(N) / 7
    )
    assert of_predict(list(table)) == {*parts, "colour_class", "colour_p_a", "colour_p_b"}
    kinds, said = chosen(tmp_path, table)
    assert list(kinds) == ["x", "dft_mean"]
    assert "'gap_std' (a prediction)" in said
    assert standard_errors(read(tmp_path / "t.csv"), None, ["gap"], print) == {}


@pytest.mark.parametrize(
    ("name", "columns", "found"),
    [
        ("gap_expt", ["Gap expt", "x"], "Gap expt"),
        ("gap", ["gap ", "Gap (eV)"], "gap "),
        ("measured", ["mesured", "dft"], "mesured"),
        ("measured", ["dft", "x"], None),
        ("gap", [], None),
    ],
)
def test_a_column_that_is_called_almost_so(name, columns, found):
    assert similar(name, columns) == found


def test_from_a_fit_to_predictions(tmp_path):
    """Features of several kinds, standard errors, names, groups, a misspelt label and a taken name, in one model."""
    pytest.importorskip("openpyxl")
    table = frame(facet=["(111)", "(110)"] * 6, gap_std=0.05, lab=[1, 2, 3] * 4, Nr=range(1, N + 1))
    table.loc[2, "x"] = None
    path, model = saved(tmp_path, table), tmp_path / "m"
    options = [
        "--tasks",
        "gap",
        "--groups",
        "lab",
        "--name",
        "formula",
        "--features",
        "x,facet",
        "--model",
        "independent",
    ]
    out = invoke("fit", path, *options, "-o", model)
    assert out.exit_code == 0, out.output
    assert "'gap_std' is taken for the standard errors of 'gap'" in out.output
    fitted = btl.load(model)
    assert list(fitted.table_.features) == ["x", "facet=(110)", "facet=(111)", "x is missing"]
    np.testing.assert_array_equal(fitted.table_.labels.se[:, 0], 0.05)
    assert fitted.table_.groups == ("1", "2", "3")
    out = invoke("predict", model, path, "-o", tmp_path / "p.xlsx")
    assert out.exit_code == 0, out.output
    assert "12 rows are those of the fitted table" in out.output
    assert "the predictions are in 'gap_std_predicted'" in out.output
    result = read(tmp_path / "p.xlsx").frame
    assert (result["gap_std"] == 0.05).all()
    assert (result["gap_std_predicted"] < 0.2).all()
    again = invoke(
        "predict",
        model,
        saved(tmp_path, result.rename(columns={"gap_mean": "gap_std_predicted_"}), "q.csv"),
        "-o",
        tmp_path / "r.csv",
    )
    assert again.exit_code == 1
    assert "drop or rename them" in again.output
    assert not (tmp_path / "r.csv").exists()
    other = table.rename(columns={"gap": "Gap"}).assign(lab=["1", "new", "2"] * 4).drop(columns="formula")
    out = invoke("predict", model, saved(tmp_path, other, "o.csv"), "-o", tmp_path / "s.csv")
    assert out.exit_code == 0, out.output
    assert "no column 'gap', so no labels of it are known: is 'Gap' meant? numbers are taken as they are" in out.output
    assert "no column 'formula', so no names of it are known" in out.output
    wrong_unit = table.assign(gap=[*table["gap"][:-1], 1000.0 * table["gap"].max()])
    out = invoke("predict", model, saved(tmp_path, wrong_unit, "u.csv"), "-o", tmp_path / "u_out.csv")
    assert (
        "known labels far beyond the fitted ones, which bend the predictions of other rows: 'gap' (1 row, such as"
        in out.output
    )
    quiet = invoke("predict", model, tmp_path / "o.csv", "-o", tmp_path / "s.csv", "--force", "-q")
    assert quiet.output == ""


@pytest.mark.parametrize(
    "ids", [range(100, 100 + N), [f"{k}.0" for k in range(100, 100 + N)], [f"0{k}" for k in range(N)]]
)
def test_a_campaign_knows_its_candidates_by_numbers_as_text(tmp_path, ids):
    """Names that look like numbers are text; results come back from a German spreadsheet."""
    pytest.importorskip("openpyxl")
    table = frame(key=list(ids)).drop(columns="formula")
    table.loc[6:, "gap"] = None
    begin = [
        "--pool",
        saved(tmp_path, table),
        "--tasks",
        "gap",
        "--goal",
        "maximise gap",
        "--name",
        "key",
        "--model",
        "independent",
    ]
    out = invoke("suggest", tmp_path / "c.db", *begin, "-n", 2, "-o", tmp_path / "s.xlsx")
    assert out.exit_code == 0, out.output
    wanted = read(tmp_path / "s.xlsx")
    names = wanted.text("row").tolist()
    assert set(names) <= {str(k).removesuffix(".0") for k in ids}
    told = wanted.frame.assign(row=names, value=[2.5, 3.25])
    told.to_csv(tmp_path / "r.csv", sep=";", decimal=",", index=False, encoding="utf-16")
    out = invoke("tell", tmp_path / "c.db", tmp_path / "r.csv")
    assert out.exit_code == 0, out.output
    assert f"best so far: gap = 3.25 at {names[1]}" in out.output


@pytest.mark.parametrize(("value", "far"), [(300.0, True), (-90.0, True), (88.0, False), (120.0, False)])
def test_a_number_far_beyond_the_fitted_ones_is_said(tmp_path, value, far):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"T (°C)": np.linspace(12, 88, 12), "y": rng.normal(size=12)})
    options = ["--tasks", "y", "--features", "T (°C)", "--model", "independent", "-q"]
    assert invoke("fit", saved(tmp_path, table), *options, "-o", tmp_path / "m").exit_code == 0
    new = saved(tmp_path, pd.DataFrame({"T (°C)": [50.0, value]}), "new.csv")
    out = invoke("predict", tmp_path / "m", new, "-o", tmp_path / "p.csv")
    assert out.exit_code == 0
    assert (f"'T (°C)' (1 row, such as {value:g}; fitted to 12 to 88)" in out.output) == far
