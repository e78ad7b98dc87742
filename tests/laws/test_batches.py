"""A row has the same numbers in a batch as in the whole table."""

import numpy as np
import pytest

from laws.cells import N_NEW, SPREAD
from laws.test_rows import answers, close, mixed


def asked(cell, rows, known):
    part = cell.part(rows)
    return cell.known(part) if known else cell.asked(part)


def several(cell):
    """New rows and fitted ones, some of them again."""
    return [*mixed(cell), mixed(cell)[0], mixed(cell)[1], mixed(cell)[0], mixed(cell)[-1]]


def whole(cell, known):
    given = asked(cell, several(cell), known)
    return cell.once(("several", known), lambda: answers(cell, cell.model.posterior(**given)))


def same(cell, posteriors, expected):
    found = np.concatenate([answers(cell, post) for post in posteriors])
    # where labels are truncated, a quadrature is as fine as the narrowest noise of its rows needs
    tolerance = {"rtol": 2e-5} if "positive" in cell.kind_name or "truncated" in cell.kind_name else {}
    close(cell, found, expected, **tolerance)


def check(cell, known):
    given = asked(cell, several(cell), known)
    same(cell, cell.model.posterior_batches(**given, size=3), whole(cell, known))


def test_batches_of_rows_with_a_known_label_are_the_whole_table(cell):
    check(cell, True)


@pytest.mark.cells(lambda c: c.id in SPREAD)
def test_batches_of_rows_without_labels_are_the_whole_table(cell):
    check(cell, False)


@pytest.mark.slow
@pytest.mark.cells(lambda c: c.id in SPREAD)
def test_parts_are_the_whole_table(cell):
    rows = several(cell)
    parts = [asked(cell, rows[a:b], True) for a, b in ((0, 1), (1, N_NEW + 2), (N_NEW + 2, None))]
    same(cell, cell.model.posterior_batches(parts), whole(cell, True))
