import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayestl
from bayestl.cli import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A user's CSV: formulas, a number, two sparse labels."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    formulas = [f"{a}{b}" for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl", "Br", "I")]
    size = np.array([i % 4 + i // 4 for i in range(20)], dtype=float)
    frame = pd.DataFrame(
        {"formula": formulas, "pressure": rng.uniform(0, 1, 20), "dft": size, "measured": 1.1 * size + 0.5}
    )
    frame.loc[10:, "measured"] = np.nan
    path = folder / "data.csv"
    frame.to_csv(path, index=False)
    return path


def invoke(*arguments):
    return RUN.invoke(app, [str(a) for a in arguments])


def test_fit_predict_round_trip(table, tmp_path):
    features = "composition:formula,pressure"
    out = invoke(
        "fit",
        table,
        "--features",
        features,
        "--tasks",
        "dft,measured",
        "--presets",
        "magpie",
        "--model",
        "difference",
        "--name",
        "formula",
        "-o",
        tmp_path / "model",
        "-q",
    )
    assert out.exit_code == 0, out.output
    out = invoke("predict", tmp_path / "model", table, "-o", tmp_path / "out.csv")
    assert out.exit_code == 0, out.output
    assert "20 rows" in out.output
    pd.read_csv(table).iloc[3:8].to_csv(tmp_path / "part.csv", index=False)
    out = invoke("predict", tmp_path / "model", tmp_path / "part.csv", "-o", tmp_path / "part_out.csv")
    assert "5 rows are those of the fitted table" in out.output
    part, whole = (pd.read_csv(tmp_path / f)["measured_std"] for f in ("part_out.csv", "out.csv"))
    np.testing.assert_allclose(part, whole.iloc[3:8], rtol=1e-6)
    result = pd.read_csv(tmp_path / "out.csv")
    assert {"measured_mean", "measured_std", "measured_lower", "measured_upper", "dft_median"} <= set(result.columns)
    assert np.abs(result["measured_mean"] - (1.1 * result["dft"] + 0.5)).max() < 1.0
    assert invoke("predict", tmp_path / "model", table, "-o", tmp_path / "out.parquet", "-q").exit_code == 0
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 20
    out = invoke("report", tmp_path / "model", "-o", tmp_path / "model.html", "--data", table, "-q")
    assert out.exit_code == 0, out.output
    assert "RbBr" in (tmp_path / "model.html").read_text(encoding="utf-8")  # rows are called by their formulas


def test_compare_writes_a_report(table, tmp_path):
    out = invoke(
        "compare",
        table,
        "--features",
        "pressure,dft",
        "--tasks",
        "measured",
        "--models",
        "independent",
        "--folds",
        "2",
        "-j",
        "1",
        "-q",
        "-o",
        tmp_path / "r.html",
    )
    assert out.exit_code == 0, out.output
    assert "measured" in out.output
    assert "90 % intervals hold" in out.output  # what follows
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.parametrize("features", ["pressure", "composition:formula"])
def test_rows_of_a_report_are_called_by_their_formulas_or_their_names(table, tmp_path, features):
    names = ["--name", "formula"] if features == "pressure" else []
    common = ("--tasks", "measured", "--features", features, "-q", "-j", "1")
    out = invoke(
        "compare", table, *common, *names, "--models", "independent", "--folds", "2", "-o", tmp_path / "r.html"
    )
    assert out.exit_code == 0, out.output
    assert 'data-tip="LiCl: label' in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "missing.csv", "--tasks", "a", "-o", "m"), "no file missing.csv"),
        (("fit", "TABLE", "--tasks", "gap", "-o", "m"), "no column 'gap'"),
        (("fit", "TABLE", "--tasks", "dft", "--features", "numbers:formula", "-o", "m"), "'LiF' in line 2, 'LiCl'"),
        (("fit", "TABLE", "--tasks", "dft", "--features", "composition:name", "-o", "m"), "no column 'name'"),
        (
            (
                "fit",
                "TABLE",
                "--tasks",
                "dft,measured",
                "--features",
                "pressure",
                "--model",
                "latent-variable",
                "--graph",
                "dft",
                "-o",
                "m",
            ),
            "PARENT>CHILD",
        ),
        (("predict", "nowhere", "TABLE", "-o", "x.csv"), "no model in nowhere"),
        (("compare", "TABLE", "--tasks", "dft", "--models", "forest"), "unknown architecture 'forest'"),
        (("datasets", "gold"), "no table 'gold'"),
        (("reproduce", "molecules", "--sizes", "20,many"), "--sizes: 'many' is not a positive whole number"),
        (("reproduce", "molecules", "--variant", "proteins"), "no table 'proteins'"),
        (("reproduce", "enthalpies", "--variant", "pbe"), "source must be one of"),
        (("reproduce", "fidelities", "--variant", "some"), "variant must be one of"),
        (("reproduce", "fidelities-of-gaps", "--variant", "all"), "variant must be offsets"),
        (("reproduce", "fidelities-of-gaps", "--folds", "first"), "'first' is not the number of a fold"),
        (("reproduce", "fidelities-of-gaps", "--folds", "7"), "no fold 7"),
        (("reproduce", "gap", "--targets", "expt"), "--targets is for fidelities-of-gaps"),
        (("reproduce", "enthalpies", "--hide", "row"), "--variant full"),
        (("reproduce", "gap", "--sizes", "100"), "--variant G2"),
        (("reproduce", "enthalpies", "--variant", "full", "--sizes", "20"), "all enthalpies are used"),
    ],
)
def test_what_the_user_can_mend_is_one_line(table, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = invoke(*(table if a == "TABLE" else a for a in arguments))
    assert out.exit_code in (1, 2)
    assert words in out.output
    assert out.output.count("\n") == 1
    assert "Traceback" not in out.output


def test_usage_is_exit_2():
    assert invoke("fit").exit_code == 2
    assert invoke("reproduce", "everything").exit_code == 2
    assert invoke("--help").exit_code == 0


def test_datasets_are_listed():
    out = invoke("datasets")
    assert out.exit_code == 0
    assert "no_decomposition" in out.output
    assert "vickers_hardness" in invoke("datasets", "elements").output


def test_standard_errors_are_written_with_a_table(data_folder, tmp_path):
    path = tmp_path / "enthalpies.csv"
    assert invoke("datasets", "formation_enthalpies", "-o", str(path)).exit_code == 0
    columns = list(pd.read_csv(path).columns)
    assert columns == ["composition", "formula", "mp", "oqmd", "scan", "measured", "measured_std"]


def test_a_case_runs_on_a_draw(data_folder, tmp_path):
    options = ("--variant", "coarse", "--sizes", "20", "--models", "chain", "--repeats", "1", "--jobs", "1", "-q")
    out = invoke("reproduce", "molecules", *options, "-o", str(tmp_path / "out"))
    assert out.exit_code == 0, out.output
    assert "coarse, 20 rows with both: measured (kcal/mol), mean over 1 draw" in out.output
    assert "independent" not in out.output
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["model"].tolist() == ["chain", "source itself", "line", "GP on the difference"]
    assert scores["draw"].eq(0).all()
    assert len(pd.read_csv(tmp_path / "out" / "coarse-20-rows-with-both.csv")) == 4 * 200


def test_importing_is_light():
    code = "import sys, bayestl; print([m for m in ('torch', 'gpytorch', 'pyro', 'pandas', 'sklearn') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    code = "import sys, bayestl.cli; print([m for m in ('torch', 'gpytorch', 'pyro', 'pandas', 'sklearn') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_every_public_name_is_there():
    for name in bayestl.__all__:
        assert getattr(bayestl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bayestl.nonsense  # noqa: B018


def test_likelihoods_and_classes_on_the_command_line(table, tmp_path):
    frame = pd.read_csv(table)
    frame["gap"] = np.where(frame["dft"] > 2, frame["dft"] - 2.0, 0.0)
    frame["colour"] = np.where(frame["dft"] > 3, "white", "dark")
    path = tmp_path / "kinds.csv"
    frame.to_csv(path, index=False)
    common = ("--features", "pressure,dft", "--tasks", "gap,colour", "--likelihoods", "gap=hurdle", "-q")
    out = invoke("fit", path, *common, "--model", "independent", "-o", tmp_path / "m")
    assert out.exit_code == 0, out.output
    out = invoke("predict", tmp_path / "m", path, "-o", tmp_path / "p.csv", "--ignore-labels", "-q")
    assert out.exit_code == 0, out.output
    result = pd.read_csv(tmp_path / "p.csv")
    assert set(result["colour_class"]) <= {"white", "dark"}
    np.testing.assert_allclose(result["colour_p_white"] + result["colour_p_dark"], 1.0, atol=1e-6)
    assert (result["gap_median"] == 0).any()
    for bad, words in (("gap=gamma", "no likelihood 'gamma'"), ("size=hurdle", "TASK=LIKELIHOOD")):
        out = invoke("fit", path, *common[:4], "--likelihoods", bad, "-o", tmp_path / "n")
        assert out.exit_code == 2
        assert words in " ".join(out.output.split())


def test_a_report_of_a_fitted_model(candidates, tmp_path):
    frame = pd.read_csv(candidates)
    frame.drop(columns="name").to_csv(tmp_path / "data.csv", index=False)
    made = invoke(
        "fit",
        tmp_path / "data.csv",
        "--features",
        "x",
        "--tasks",
        "dft,measured",
        "--model",
        "difference",
        "-o",
        tmp_path / "m",
        "-q",
    )
    assert made.exit_code == 0, made.output
    out = invoke("report", tmp_path / "m", "-o", tmp_path / "r.html", "--data", tmp_path / "data.csv")
    assert out.exit_code == 0, out.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "From one level to the next" in page
    assert "Predictions" in page
    refused = invoke("report", tmp_path / "none", "-o", tmp_path / "r.html")
    assert refused.exit_code == 1
    assert "no model in" in refused.output


@pytest.fixture
def candidates(tmp_path):
    """Twenty named candidates, a few labels."""
    x = np.linspace(0, 1, 20)
    frame = pd.DataFrame({"name": [f"m{i}" for i in range(20)], "x": x, "dft": np.sin(4 * x), "measured": np.nan})
    frame.loc[::3, "measured"] = 1.1 * np.sin(4 * x[::3]) + 0.2
    path = tmp_path / "pool.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_campaign_from_the_command_line(candidates, tmp_path):
    ledger, wanted = tmp_path / "c.db", tmp_path / "wanted.csv"
    out = invoke(
        "suggest", ledger, "--pool", candidates, "--tasks", "dft,measured", "--goal", "maximise measured", "--name", "name",
        "--costs", "measured=20", "--model", "difference", "-n", 2, "-o", wanted,
    )  # fmt: skip
    assert out.exit_code == 0, out.output
    assert "maximise measured: measured predicted" in out.output
    frame = pd.read_csv(wanted)
    x = dict(zip(*pd.read_csv(candidates)[["name", "x"]].to_numpy().T, strict=True))
    frame["value"] = [1.1 * np.sin(4 * x[row]) + 0.2 for row in frame["row"]]
    frame.to_csv(wanted, index=False)
    result = invoke("tell", ledger, wanted)
    assert result.exit_code == 0, result.output
    assert "2 results added" in result.output
    assert "best so far: measured = 1.295" in result.output
    again = invoke("suggest", ledger, "-q")
    assert again.exit_code == 0
    assert "maximise" not in again.output
    frame.assign(value="red").to_csv(wanted, index=False)
    refused = invoke("tell", ledger, wanted)
    assert refused.exit_code == 1
    assert "'red'" in refused.output


def test_wrong_turns_of_a_campaign_are_named(candidates, tmp_path):
    begin = ["suggest", tmp_path / "c.db", "--pool", candidates, "--tasks", "dft,measured"]
    for arguments, message in (
        (["suggest", tmp_path / "none.db"], "no ledger at"),
        (begin, "say --tasks and --goal too"),
        ([*begin, "--goal", "the best"], "is none of: maximise Q"),
        ([*begin, "--goal", "maximise gap"], "'gap', which is no task"),
        ([*begin, "--goal", "maximise dft", "--costs", "gap=3"], "is not TASK=NUMBER"),
        ([*begin, "--goal", "maximise dft", "--name", "label"], "no column 'label'"),
    ):
        out = invoke(*arguments)
        assert out.exit_code in (1, 2), out.output
        assert message in " ".join(out.output.split())


def test_a_replay_from_the_command_line(candidates, tmp_path):
    out = invoke(
        "simulate", candidates, "--tasks", "dft,measured", "--goal", "dft between 0.9 and 1", "--features", "x", "--models",
        "independent", "--start", 3, "--budget", 3, "--seeds", 2, "-o", tmp_path / "out", "-q", "-j", 1,
    )  # fmt: skip
    assert out.exit_code == 0, out.output
    assert "dft between 0.9 and 1, at cost 3" in out.output
    records = pd.read_csv(tmp_path / "out" / "records.csv")
    assert set(records["policy"]) == {"random", "independent"}
    assert (tmp_path / "out" / "curves.png").stat().st_size > 5000


def test_a_warning_is_one_line_without_code(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.standard_normal(20), "gap": np.maximum(rng.standard_normal(20), 0.0)})
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    arguments = ["fit", "gaps.csv", "--tasks", "gap", "--model", "independent", "-o", "model", "-q"]
    run = [sys.executable, "-c", "from bayestl.cli import app; app()", *arguments]
    lines = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert "are exactly 0" in lines[0]
