"""The tables of figures come from records, and a run fills the cells of its own command and no others."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import results
from benchmarks import fidelities, sbc
from typer.testing import CliRunner

from bayestl.cli import app, cases
from bayestl.evaluation.figures import command_of, figures, write_run
from bayestl.evaluation.simulated import Calibration
from bayestl.studies.gap import Curve

NAMES = sorted(path.stem for path in results.RECORDS.glob("*.csv"))
FIELD = re.compile(r"\{(\w+)(:[^{}]*)?\}")


@pytest.mark.parametrize("page", results.PAGES, ids=lambda p: p.stem)
def test_a_page_is_what_the_records_say(page):
    text = page.read_text(encoding="utf-8")
    assert results.MARKED.search(text)
    assert results.rendered(text) == text, "python docs/results.py makes it"


def prose(text):
    """A page without code, tables of records, other tables, links and sentences with figures of records."""
    text = re.sub(r"^```.*?^```|^\|.*?$|\]\([^)]*\)|`[^`]*`", "", results.MARKED.sub("", text), flags=re.M | re.S)
    for sentence in results.SENTENCES:
        text = results.with_figures(sentence).sub("", text)
    return text


def test_figures_in_sentences_come_from_records():
    benchmarks, readme = (page.read_text(encoding="utf-8") for page in results.PAGES)
    first_screen = benchmarks[: benchmarks.index("\n## Speed")]
    of_no_record = {"3.11", "0.7", "0.1.0"}  # of Python, twice in nats, of bayestl
    assert set(re.findall(r"\d[\d.]*\.\d+", prose(readme) + prose(first_screen))) <= of_no_record
    for sentence in results.SENTENCES:
        assert len(results.with_figures(sentence).findall(benchmarks + readme)) == 1, sentence
        stale = readme.replace(results.filled(sentence), results.REFERENCE.sub("9.99", sentence))
        assert stale != readme
        assert results.rendered(stale) == readme


def test_every_table_of_the_benchmarks_is_made_of_records():
    text = results.PAGES[0].read_text(encoding="utf-8")
    assert "\n|" not in results.MARKED.sub("", text)


def test_every_record_is_shown():
    shown = {
        n for page in results.PAGES for m in results.MARKED.finditer(page.read_text("utf-8")) for n in m[1].split(", ")
    }
    assert shown == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_measured_says_how_and_when(name):
    for row in results.Record.read(name).rows:
        assert bool(row["run"]) == bool(row["version"]) == bool(row["date"])
        assert row["run"] == command_of(row["run"].split()) or "'" in row["run"]
        if row["date"]:
            results.day(row["date"])


def run_of(record, command, rng):
    """Figures of a command as its record expects them, with a row beside them of something else."""
    rows = []
    for row in record.rows:
        for column in record.titles:
            where, template = record.made.get(column, ("", ""))
            if row["run"] == command and template:
                pairs = [c.split("=", 1) for c in f"{where};{row['where']}".split(";") if c]
                at = {k: v.split("|")[0] for k, v in pairs if k != "least"}
                found = next((r for r in rows if at.items() <= r.items()), None)
                if found is None:
                    rows.append(found := at)
                found |= {f: rng.uniform(1, 9) for f, _ in FIELD.findall(template)}
    return pd.DataFrame([*rows, dict.fromkeys(rows[0], "other")]) if rows else pd.DataFrame()


COMMANDS = sorted({(n, row["run"]) for n in NAMES for row in results.Record.read(n).rows if row["run"]})
FILLED = [(n, c) for n, c in COMMANDS if results.Record.read(n).made]


@pytest.mark.parametrize(("name", "command"), FILLED)
def test_a_run_fills_the_rows_of_its_command(name, command):
    record, before = results.Record.read(name), results.Record.read(name)
    figures = run_of(record, command, np.random.default_rng(0))
    assert record.take({"command": command, "version": "9", "date": "2031-02-03"}, figures) > 0
    for row, old in zip(record.rows, before.rows, strict=True):
        if row["run"] != command:
            assert row == old
            continue
        assert (row["version"], row["date"]) == ("9", "2031-02-03")
        made = [c for c in record.made if row[c] != old[c]]
        assert made
        assert {c for c in row if row[c] != old[c]} <= {*record.made, "version", "date"}
    assert record.take({"command": f"{command} --other", "version": "9", "date": "2031-02-03"}, figures) == 0


def test_the_curve_of_gaps_has_what_its_record_needs():
    record = results.Record.read("gap-G2")
    command = record.rows[0]["run"]
    sizes = [int(row["where"].removeprefix("n=")) for row in record.rows if row["run"] == command][:2]
    records = pd.DataFrame(
        [(n, seed, model, 0.3 + seed / 10) for n in sizes for seed in (0, 1) for model in ("independent", "chain")],
        columns=["n", "seed", "model", "mae"],
    )
    before = {row["where"]: row["date"] for row in record.rows}
    run = {"command": command, "version": "9", "date": "2031-02-03"}
    assert record.take(run, figures(Curve(records))) == 6
    taken = {f"n={n}": run["date"] for n in sizes}
    assert {row["where"]: row["date"] for row in record.rows} == before | taken
    assert record.rows[0]["cut"] == "0.00 ± 0.00"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_run_is_filled_in_by_it(name):
    record = results.Record.read(name)
    for row in record.rows:
        typed = [c for c in record.titles[1:] if row["run"] and re.search(r"\d", row[c]) and c not in record.made]
        assert set(typed) <= {"aim"}, (row, typed)


def ranks_of(rng):
    names = ["u.length_scale[0]", "noise[0]", "source, row 3", "target, row 3"]
    return Calibration(pd.DataFrame(rng.uniform(size=(60, 4)), columns=names), [])


def optimisations(rng):
    places = itertools.product(["Branin", "Currin", "borehole"], ["bayestl", "BoTorch"], range(3), fidelities.CHECKS)
    return pd.DataFrame(
        [(*at, 10.0 ** rng.uniform(-3, 0)) for at in places], columns=["function", "model", "seed", "cost", "regret"]
    )


MADE = {
    "sbc": lambda rng: sbc.Result({m: ranks_of(rng) for m in ("multi-task", "difference", "latent variable")}),
    "optimisation": lambda rng: fidelities.Result(optimisations(rng)),
}


@pytest.mark.parametrize("name", MADE)
def test_a_benchmark_leaves_what_its_table_needs(name, tmp_path, monkeypatch):
    record, result = results.Record.read(name), MADE[name](np.random.default_rng(0))
    (tmp_path / f"{name}.csv").write_bytes((results.RECORDS / f"{name}.csv").read_bytes())
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    command = record.rows[0]["run"]
    write_run(tmp_path / "out", result, command.split())
    results.record(tmp_path / "out")
    for row, old in zip(results.Record.read(name).rows, record.rows, strict=True):
        changed = {c for c in record.made if row[c] != old[c]}
        assert changed == ({c for c in record.made if old[c]} if row["run"] == command else set())
    if name == "optimisation":
        last = results.Record.read(name).rows[0]
        logs = np.log10(result.records.set_index(["function", "cost", "model", "seed"])["regret"])
        at = logs["Branin"][5.0]
        assert last["5"] == f"{at['bayestl'].mean():.2f} ± {at['bayestl'].sem():.2f}"
        less = at["bayestl"] - at["BoTorch"]
        assert last["bayestl minus BoTorch at 5"] == f"{less.mean():.2f} ± {less.sem():.2f}"
    else:
        ours = result.calibrations["difference"].table.loc[["source, row 3", "target, row 3"]]
        p, spread = ours["p value"], ours["spread"]
        cell = results.Record.read(name).rows[1]["latent values of six rows: p, spread"]
        assert cell == f"{p.min():.2f} to {p.max():.2f}, {spread.min():.2f} to {spread.max():.2f}"


def test_the_least_of_two_rows_is_taken():
    rows = pd.DataFrame({"model": ["a", "b", "c"], "n": [1, 1, 1], "mae": [0.3, 0.2, 0.1]})
    assert results.chosen(rows, "model=a|b;least=mae;n=1")["model"] == "b"
    assert results.chosen(rows, "model=a|d;least=mae")["model"] == "a"
    assert results.chosen(rows, "model=d;least=mae") == {}


def test_a_run_without_a_model_leaves_its_row():
    record = results.Record.read("enthalpies")
    before = dict(record.rows[1])
    figures = run_of(record, record.rows[0]["run"], np.random.default_rng(0))
    record.take(
        {"command": before["run"], "version": "9", "date": "2031-02-03"}, figures[figures["model"] != "difference"]
    )
    assert record.rows[1] == before
    with pytest.raises(ValueError, match="one is expected"):
        record.take({"command": before["run"], "version": "9", "date": "2031-02-03"}, pd.concat([figures, figures]))


def test_a_folder_goes_into_the_records_and_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    (tmp_path / "few.csv").write_text(
        "# MAE |  | {mae:.2f} ± {mae_se:.1g} ({in_90:.2f})\nmodel,MAE,peer,run,where,template,version,date\n"
        "ours,,{few:theirs:MAE()},bayestl reproduce no,model=chain,,,\ntheirs,5 (0.7),,,,,,\n"
    )
    folder = tmp_path / "out"
    folder.mkdir()
    write_run(
        folder,
        pd.DataFrame({"model": ["chain"], "mae": [1.234], "mae se": [np.nan], "in 90 %": [0.9]}),
        ["bayestl", "reproduce", "no", "-o", str(tmp_path), "-q"],
    )
    results.record(folder)
    day = results.day(json.loads((folder / "run.json").read_text())["date"])
    page = results.rendered("a\n<!-- results: few -->\nold\n<!-- end -->\nb\n")
    assert "| ours | 1.23 (0.90) | 0.7 |\n| theirs | 5 (0.7) | |\n" in page
    assert f"*`bayestl reproduce no`: version 0.1.0, {day}.*\n<!-- end -->\nb" in page
    assert results.rendered(page) == page
    assert "1 cells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("bayestl reproduce no -o x --jobs 2", "bayestl reproduce no"),
        ("bayestl reproduce no -q --hide target --output=y", "bayestl reproduce no --hide target"),
        ("python run.py sbc --models latent\\ variable", "python run.py sbc --models 'latent variable'"),
    ],
)
def test_options_that_leave_figures_as_they_are_are_no_part_of_a_command(words, kept):
    import shlex

    assert command_of(shlex.split(words)) == kept


@pytest.mark.parametrize("case", ["no", "color", "elements", "molecules"])
def test_reproduce_leaves_its_figures_with_the_command(case, tmp_path, monkeypatch):
    monkeypatch.setitem(cases.RUN, cases.Case(case), lambda o: pd.DataFrame({"model": ["a"], "mae": [1.5]}))
    arguments = ["reproduce", case, "--repeats", "2", "-o", str(tmp_path / "out"), "-q"]
    monkeypatch.setattr("sys.argv", ["bayestl", *arguments])
    assert CliRunner().invoke(app, arguments).exit_code == 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["command"], run["version"]) == (f"bayestl reproduce {case} --repeats 2", "0.1.0")
    assert pd.read_csv(tmp_path / "out" / "figures.csv").to_dict("list") == {"model": ["a"], "mae": [1.5]}
