"""Units of a file, from a row below the names or in brackets in them, are beside the numbers of every command."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from support.wrong_inputs import COMMANDS
from typer.testing import CliRunner

import bayestl as btl
from bayestl import active
from bayestl.cli import app, commands, comparison
from bayestl.cli.campaigns import suggesting
from bayestl.cli.inputs import similar
from bayestl.cli.reading import TableParts, read
from bayestl.cli.reading.margins import unit_in

WAYS = {"row": ("dft", "measured"), "names": ("dft (A^3)", "measured [A^3]")}


def invoke(*arguments):
    out = CliRunner().invoke(app, [str(a) for a in arguments])
    assert out.exit_code in (0, 3), (arguments, out.output, out.exception)
    return out.output


def table_at(path, way, unit="A^3"):
    """Twelve rows with a calculation and half as many measurements, with the unit in one of the two ways."""
    x = np.linspace(0, 1, 12)
    dft, measured = np.sin(4 * x), 1.1 * np.sin(4 * x) + 0.2
    rows = [["name", "x", *WAYS[way]]] + ([["", "", f"[{unit}]", f"in {unit}"]] if way == "row" else [])
    rows += [[f"m{i}", x[i], dft[i], "" if i % 2 else measured[i]] for i in range(12)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Models that are fitted in a moment, for the tasks that the commands make."""

    def make_model(name, names, graph, tasks, *others, **options):
        return btl.IndependentGP(tasks=tasks, hyperparameters="map", n_starts=1, verbose=False)

    with pytest.MonkeyPatch.context() as patch:
        for module in (commands, comparison, suggesting):
            patch.setattr(module, "make_model", make_model)
        yield


@pytest.fixture(scope="module")
def of_way(tmp_path_factory):
    """For each way a table, the arguments that name it and its tasks, a model of it and a campaign on it."""

    def made(way):
        folder = tmp_path_factory.mktemp("units")
        common = [table_at(folder / "data.csv", way), "--tasks", ",".join(WAYS[way]), "--features", "x"]
        invoke("fit", *common, "--model", "independent", "-o", folder / "model", "-q")
        wish = ["--goal", f"minimise {WAYS[way][1]}"]
        sheet = ["--model", "independent", "-n", 2, "-o", folder / "wanted.csv"]
        said = invoke("suggest", folder / "c.db", "--pool", *common, *wish, *sheet)
        return {"folder": folder, "way": way, "common": common, "wish": wish, "suggest": said}

    return {way: made(way) for way in WAYS}


def said_by_check(home, tmp_path):
    return invoke("check", home["common"][0])


def said_by_fit(home, tmp_path):
    assert [t.unit for t in btl.load(home["folder"] / "model").tasks_] == ["A^3", "A^3"]
    return btl.load(home["folder"] / "model").summary()


def said_by_predict(home, tmp_path):
    """What is noted of a file in another unit; the table has numbers only, in the unit of the model."""
    other = table_at(tmp_path / "other.csv", "row", "nm^3")
    said = invoke("predict", home["folder"] / "model", other, "-o", tmp_path / "out.csv")
    assert invoke("predict", home["folder"] / "model", home["common"][0], "-o", tmp_path / "2.csv").count("in A^3") == 0
    return said


def said_by_report(home, tmp_path):
    invoke("report", home["folder"] / "model", "-o", tmp_path / "r.html")
    return (tmp_path / "r.html").read_text().replace("Å³", "A^3")


def said_by_compare(home, tmp_path):
    options = ["--models", "independent,multi-task", "--folds", 2, "-j", 1, "-q"]
    said = invoke("compare", *home["common"], *options, "-o", tmp_path / "r.html")
    assert "Å³" in (tmp_path / "r.html").read_text()
    assert "Å³" in said
    return said


def said_by_suggest(home, tmp_path):
    sheet = pd.read_csv(home["folder"] / "wanted.csv")
    assert sheet["unit"].eq("A^3").all()
    assert list(sheet.columns)[-3:] == ["unit", "value", "se"]
    suggested = json.loads(invoke("suggest", home["folder"] / "c.db", "--json"))["suggestions"][0]
    assert suggested["unit"] == "A^3"
    assert suggested["reason"].endswith(" A^3")
    return home["suggest"]


def said_by_tell(home, tmp_path):
    sheet = pd.read_csv(home["folder"] / "wanted.csv").astype({"value": object})
    sheet.assign(value=1.5, unit="nm^3").iloc[:1].to_csv(tmp_path / "told.csv", index=False)
    said = invoke("tell", home["folder"] / "c.db", tmp_path / "told.csv")
    assert "is in nm^3 in this file and in A^3 in the campaign" in said
    sheet.assign(value=1.5).iloc[1:].to_csv(tmp_path / "told.csv", index=False)
    assert "in this file" not in invoke("tell", home["folder"] / "c.db", tmp_path / "told.csv")
    return said.rpartition("best so far")[2]


def said_by_status(home, tmp_path):
    return invoke("status", home["folder"] / "c.db").partition("last results")[2]


def said_by_export(home, tmp_path):
    for what in ("results", "suggestions"):
        invoke("export", home["folder"] / "c.db", "--what", what, "-o", tmp_path / f"{what}.csv")
        assert pd.read_csv(tmp_path / f"{what}.csv")["unit"].eq("A^3").all()
    return (tmp_path / "results.csv").read_text()


def said_by_simulate(home, tmp_path):
    axes = []
    with pytest.MonkeyPatch.context() as patch:
        drawn = active.plot_simulation
        patch.setattr(active, "plot_simulation", lambda simulation: axes.append(drawn(simulation)) or axes[0])
        options = ["--models", "independent", "--start", 2, "--budget", 2, "--seeds", 2, "-j", 1, "-q"]
        said = invoke("simulate", *home["common"], *home["wish"], *options, "-o", tmp_path / "out")
    assert axes[0].get_ylabel() == "regret (Å³)"
    assert pd.read_csv(tmp_path / "out" / "records.csv")["unit"].eq("A^3").all()
    return said.partition("at cost")[2]


SAID_BY = {name.removeprefix("said_by_"): f for name, f in globals().items() if name.startswith("said_by_")}
READERS = ("check", "fit", "compare", "suggest", "simulate")
"""Commands that learn the tasks from a file; the others know them from a model or a campaign."""
WITHOUT = {"demo", "reproduce", "datasets", "diagnose", "withdraw"}
"""Commands on tables that bring their tasks, and such as show no label."""


def test_every_command_shows_units_or_has_none():
    assert set(SAID_BY) | WITHOUT == set(COMMANDS)
    assert not set(SAID_BY) & WITHOUT


@pytest.mark.parametrize(("way", "command"), [("row", c) for c in SAID_BY] + [("names", c) for c in READERS])
def test_the_unit_of_the_file_is_beside_its_numbers(of_way, way, command, tmp_path):
    said = SAID_BY[command](of_way[way], tmp_path)
    for name in WAYS[way]:
        said = said.replace(name, "")  # which may hold it
    assert "A^3" in said.replace("Å³", "A^3")


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet"])
def test_units_in_names_are_known_from_every_format(tmp_path, ending):
    frame = pd.DataFrame({"x": range(9), "gap (eV)": 0.5, "rho [g/cm^3]": 1.5, "site (a)": 2.5})
    path = tmp_path / f"a.{ending}"
    {"csv": frame.to_csv, "xlsx": frame.to_excel, "parquet": frame.to_parquet}[ending](path, index=False)
    assert read(path).units == {"gap (eV)": "eV", "rho [g/cm^3]": "g/cm^3"}
    assert next(iter(TableParts(path, size=4))).units == read(path).units


@pytest.mark.parametrize(
    "unit", ["eV", "K", "°C", "GPa", "A^3/atom", "g cm^-3", "W/(m K)", "at.%", "mAh/g", "1/s", "ln cm3/mol"]
)
def test_a_unit_is_told_from_what_else_stands_in_brackets(unit):
    others = ["a", "PBE", "DFT", "N", "CO", "N2", "Fe", "III", "1", "expt", "adsorbed", "CN", "Ag"]
    for (open_, close), other in itertools.product(("()", "[]"), others):
        assert unit_in(f"name {open_}{unit}{close}") == unit_in(f"name ({other}) {open_}in {unit}{close} ") == unit
        assert unit_in(f"name {open_}{other}{close}") == ""
        assert unit_in(f"{open_}{unit}{close}") == unit_in(unit) == ""


def test_a_name_has_its_unit_once():
    assert [btl.Task(name, unit="eV").label for name in ("gap", "gap (eV)", "gap [eV]", "gap (PBE)")] == [
        "gap (eV)",
        "gap (eV)",
        "gap [eV]",
        "gap (PBE) (eV)",
    ]


@pytest.mark.parametrize(
    ("name", "column", "alike"),
    [
        ("gap", "gap (meV)", True),
        ("gap (eV)", "Gap [meV]", True),
        ("E (CO)", "E (H2)", False),
        ("gap", "volume (A^3)", False),
    ],
)
def test_a_column_in_another_unit_is_asked_about(name, column, alike):
    assert similar(name, ["alloy", column]) == (column if alike else None)
