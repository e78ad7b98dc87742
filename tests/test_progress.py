import io
import sys

import pytest
from rich.console import Console

from bayestl import progress
from bayestl.cli import app

NAMES = [
    "gap [eV]",
    "[red]",
    "[/]",
    "[/bold]",
    "a[0]",
    "[link=x]y",
    "\\[x]",
    ":smile:",
    "[[",
    "x]",
    "[#ff0000]c",
    "gap [eV] [PBE]",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_brackets_are_shown_as_they_are(name):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with progress._bar(console, name, 3) as update:
        update(completed=1)
        update(completed=2, description=f"{name} again")
    assert f"{name} again" in console.file.getvalue()


def lines_of(times, total, capsys, steps=None):
    """What a loop prints whose steps end at the given times."""
    clock = iter([0.0, *times])
    lines = progress.Lines("folds", total, clock=lambda: next(clock))
    for step in steps or range(1, len(times) + 1):
        lines.update(completed=step)
    out = capsys.readouterr()
    assert out.out == ""
    return out.err.splitlines()


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.9])
def test_a_short_loop_prints_nothing(seconds, capsys):
    assert lines_of([seconds * k for k in range(1, 11)], 10, capsys) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(7, "about 63 seconds"), (40, "about 6 minutes"), (1200, "about 3 hours")]
)
def test_a_long_loop_says_at_once_how_long_it_takes(seconds, words, capsys):
    assert lines_of([seconds], 10, capsys) == [f"folds: 1 of 10, {words} left"]


@pytest.mark.parametrize("n", [100, 1000, 10000])
def test_lines_come_at_growing_intervals(n, capsys):
    lines = lines_of([0.5 * k for k in range(1, n + 1)], n, capsys)
    assert 2 <= len(lines) <= 5 + 0.5 * n / progress.MOST
    assert all(line.startswith("folds: ") and line.endswith(" left") for line in lines)


def test_a_loop_without_a_known_end_counts(capsys):
    assert lines_of([4, 11, 12], None, capsys) == ["folds: 2"]


def test_nothing_is_printed_where_it_is_not_wanted(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST", 0.0)
    for verbose in (False, True):
        with progress.progress("folds", 2, verbose) as update:
            update(completed=1)
        assert capsys.readouterr().err == ("folds: 1 of 2, about 1 second left\n" if verbose else "")
    assert not sys.stderr.isatty()


def test_help_texts_have_no_marks_of_colours():
    import typer

    commands = typer.main.get_command(app).commands
    texts = [p.help or "" for c in commands.values() for p in c.params] + [c.help for c in commands.values()]
    assert len(texts) > 60
    assert [text for text in texts if "[" in text] == []
