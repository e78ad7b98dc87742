"""On the page of an object every parameter is described, also where its docstring says that it is that of another object."""

import importlib
import inspect

import pytest
from parameters import HOMES, SAME, described, entries, public

import bayestl as btl


def lines_of(thing):
    return inspect.cleandoc(thing.__doc__).splitlines()


def by_another():
    """Public objects with parameters that are those of another one."""
    for home in HOMES:
        module = importlib.import_module(home)
        yield from (t for n in module.__all__ if SAME.search((t := getattr(module, n)).__doc__ or ""))


@pytest.mark.parametrize("thing", list(by_another()), ids=lambda t: t.__name__)
def test_parameters_of_another_object_are_described(thing):
    before, after = lines_of(thing), described(lines_of(thing))
    named = {n for _, entry in entries(before) for n in entry.names}
    assert {n for _, entry in entries(after) for n in entry.names} == named
    assert not any(SAME.fullmatch(line) for line in after)
    assert [line for line in before if not SAME.fullmatch(line)][-3:] == after[-3:]


def test_descriptions_are_those_of_the_other_object():
    theirs = {e.names: e for _, e in entries(lines_of(btl.IndependentGP))}
    ours = {e.names: e for _, e in entries(described(lines_of(btl.ChainGP)))}
    for name in ("tasks", "kernel", "hyperparameters", "n_starts", "random_state", "verbose"):
        assert ours[(name,)] == theirs[(name,)]
    assert ours[("device",)].text[:-1] == theirs[("device",)].text
    assert ours[("device",)].text[-1] == "    Forests are fitted on the processor."


def test_some_are_so():
    assert {"DifferenceGP", "ChainGP", "AutoTransfer", "learning_curve"} <= {t.__name__ for t in by_another()}


def test_what_describes_itself_stays_as_it_is():
    assert described(lines_of(btl.IndependentGP)) == lines_of(btl.IndependentGP)
    assert described(["A sentence.", ""]) == ["A sentence.", ""]


@pytest.mark.parametrize(
    ("signature", "shown"),
    [
        ("(a, b=1, *, _c=None)", "(a, b=1)"),
        ("(a, *, b, _c: int = 3)", "(a, *, b)"),
        ("(a, *, b=2)", "(a, *, b=2)"),
        ("(a_b, verbose=True)", "(a_b, verbose=True)"),
        (None, None),
    ],
)
def test_private_parameters_are_not_shown(signature, shown):
    assert public(signature) == shown
