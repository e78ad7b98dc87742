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
    "PR03",  # parameters in another order
    "PR07",  # a parameter without a description
    "RT01",  # something comes back, and nothing is said of it
    "RT03",  # what comes back without a description
}
EXAMPLE = "EX01"
NO_CODE = re.compile(r"fetch|load_(?!elements)")
"""What reads files that have to be downloaded has an example that the tests of docstrings skip."""


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
    return [f"{code}: {text}" for code, text in validation.validate(name)["errors"] if code in codes]


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_documented(name):
    is_error = inspect.isclass(found(name)) and issubclass(found(name), Exception)
    assert faults(name, OF_ALL if is_error else OF_ALL | {EXAMPLE}) == []


@pytest.mark.parametrize("name", MEMBER_NAMES)
def test_a_member_is_documented(name):
    cls, _, member = name.rpartition(".")
    if isinstance(inspect.getattr_static(found(cls), member, None), property) or not hasattr(found(cls), member):
        return
    assert faults(name, OF_ALL) == []


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
