"""Every block of the documentation and the README runs, those of a page one after another, and prints what stands under it."""

import math
import re
from pathlib import Path

import pytest
from outputs import blocks, tables

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md"), ROOT / "README.md"])
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\S*")


def alike(printed, shown):
    """The same words, whatever the time; numbers within a twentieth, or within two of the last digits shown: other processors round otherwise."""
    printed, shown = TIME.sub("time", printed), TIME.sub("time", shown)
    for line, expected in zip(printed.strip().splitlines(), shown.strip().splitlines(), strict=True):
        assert NUMBER.sub("#", line).split() == NUMBER.sub("#", expected).split()
        for a, b in zip(NUMBER.findall(line), NUMBER.findall(expected), strict=True):
            last = 10.0 ** -len(b.partition(".")[2]) if "e" not in b else 0.0
            assert math.isclose(float(a), float(b), rel_tol=0.05, abs_tol=2 * last), f"{a} where {b} stands: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p.read_text(encoding="utf-8"))], ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore:the chains have not converged")
def test_the_code_of_a_page_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables(tmp_path)
    names = {}
    for i, block in enumerate(blocks(page.read_text(encoding="utf-8"))):
        printed = block.run(names, f"{page.name}, block {i + 1}")
        if block.output is not None:
            alike(printed, block.output)


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("mean 0.52\nend", "mean 0.51\nend", True),
        ("mean 0.52", "mean 0.42", False),
        ("F01  12", "F02  12", False),
        ("a  1", "a 1", True),
        ("a 1\nb 2", "a 1", False),
        ("error 3.0e-05", "error 3.1e-05", True),
        ("error 3.0e-05", "error 5.0e-05", False),
    ],
)
def test_outputs_are_compared_by_words_and_numbers(printed, shown, same):
    if same:
        alike(printed, shown)
    else:
        with pytest.raises((AssertionError, ValueError)):
            alike(printed, shown)


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            built = target == "notebooks/index"  # made by conf.py
            assert built or (page.parent / target).exists(), f"{page.name} links to {target}"
