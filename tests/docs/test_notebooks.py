"""What a page of a notebook shows: its lines fit the page, and every cell has run."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
WIDTH = 88
"""Characters of a line of code that fit a page of 1100 pixels."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_lines_of_a_notebook_fit_the_page(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        printed = [o["text"] for o in cell.outputs if o.output_type == "stream"]
        too_long = [line for text in (cell.source, *printed) for line in text.splitlines() if len(line) > WIDTH]
        assert not too_long, f"{path.name}: {too_long[0]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_has_its_outputs_and_no_error(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    kinds = [o.output_type for cell in cells for o in cell.outputs]
    assert "error" not in kinds
    assert kinds.count("display_data") + kinds.count("execute_result") >= 2
