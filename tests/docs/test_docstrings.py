"""What the reference shows of each object: a summary, every parameter, what comes back, and an example that runs."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from members import MEMBERS

validation = pytest.importorskip("numpydoc.validate")
PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
OF_ALL = {
    "GL06",  # a section that numpydoc does not know
    "GL07",  # sections in another order
    "GL08",  # no docstring
    "SS01",  # no summary
    "PR01",  # a parameter that is not documented
    "PR02",  # a documented parameter that does not exist
    "PR07",  # a parameter without a description
    "RT01",  # something comes back, and nothing is said of it
    "RT03",  # what comes back without a description
}
EXAMPLE = "EX01"
OF_REPORTS = {"GL08", "SS01", "PR02", "PR07"}
"""Of pictures and sections of reports, whose axes and comparisons are the same everywhere: a sentence that says what is shown."""
MADE_BY_OTHERS = {"Posterior", "Derived", "Comparison", "Calibration", "Simulation", "Dataset"}
"""Classes that users do not make: their attributes are documented, not their parameters."""


def objects():
    """The names in ``docs/api.md``, each with its module."""
    for module, names in re.findall(r"currentmodule:: (\S+)\n\n\.\. autosummary::(.*?)```", PAGE, re.DOTALL):
        yield from (f"{module}.{n}" for n in names.split() if re.fullmatch(r"[A-Za-z][\w.]*", n) and n != "api")


def found(name):
    module, _, rest = name.rpartition(".")
    return getattr(importlib.import_module(module), rest)


OBJECTS = sorted(objects())
MEMBER_NAMES = [f"{name}.{m}" for name in OBJECTS for m in MEMBERS.get(name.rpartition(".")[2], [])]


def faults(name, codes):
    errors = [f"{code}: {text}" for code, text in validation.validate(name)["errors"] if code in codes]
    return [e for e in errors if not re.fullmatch(r"PR01: Parameters \{'_\w+'\} not documented", e)]  # a private one


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_documented(name):
    is_error = inspect.isclass(found(name)) and issubclass(found(name), Exception)
    codes = OF_ALL if is_error else OF_ALL | {EXAMPLE}
    if name.startswith("bayestl.report."):
        codes = OF_REPORTS
    assert faults(name, codes - {"PR01"} if found(name).__name__ in MADE_BY_OTHERS else codes) == []


@pytest.mark.parametrize("name", MEMBER_NAMES)
def test_a_member_is_documented(name):
    """In sections as an object is or, where a sentence says it all, with each parameter in that."""
    cls, _, member = name.rpartition(".")
    function = inspect.getattr_static(found(cls), member, None)
    if function is None or not callable(getattr(found(cls), member)):  # a property, or an attribute of instances
        assert function is None or inspect.getdoc(function)
        return
    text = inspect.getdoc(function) or ""
    if "Parameters\n---" in text:
        assert faults(name, OF_ALL) == []
        return
    assert faults(name, OF_ALL - {"PR01", "RT01"}) == []
    if name.startswith("bayestl.report."):
        return
    names = [p for p in inspect.signature(getattr(found(cls), member)).parameters if p not in ("self", "X", "y", "_")]
    assert [p for p in names if not re.search(rf"\b{p}\b", text)] == []


def test_every_public_name_is_in_the_reference():
    listed = {n.rpartition(".")[2] for n in OBJECTS}
    for module in ("bayestl", "bayestl.active", "bayestl.evaluation", "bayestl.features", "bayestl.datasets"):
        names = importlib.import_module(module).__all__
        of_interest = {n for n in names if callable(getattr(importlib.import_module(module), n))}
        assert of_interest <= listed, f"{module}: {sorted(of_interest - listed)} are not in docs/api.md"


def test_a_fault_is_found(monkeypatch):
    def bad(a, b):
        """Add.

        Parameters
        ----------
        a : int
            One.
        """
        return a + b

    monkeypatch.setattr(importlib.import_module("bayestl.metrics"), "bad", bad, raising=False)
    assert {f[:4] for f in faults("bayestl.metrics.bad", OF_ALL | {EXAMPLE})} == {"PR01", "RT01", "EX01"}
