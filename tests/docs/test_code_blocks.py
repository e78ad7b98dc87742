"""Every Python block of the documentation and the README runs, those of a page one after another."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def gaps(folder):
    """The table that the README speaks of."""
    formulas = [f"{a}{b}" for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl", "Br", "I")]
    gap = np.array([9.0 - 0.5 * i + 0.3 * (i % 4) for i in range(20)])
    table = pd.DataFrame({"formula": formulas, "pbe_gap": gap, "expt_gap": 1.2 * gap + 0.5})
    table.loc[10:, "expt_gap"] = np.nan
    table.to_csv(folder / "gaps.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore:the chains have not settled")
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gaps(tmp_path)
    names = {}
    for i, code in enumerate(blocks(page)):
        exec(compile(code, f"{page.name}, block {i + 1}", "exec"), names)


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
