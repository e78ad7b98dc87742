"""Printed text: its lines."""

import pytest

from bayestl.diagnostics.words import WIDTH, wrapped

WORDS = "of 120 held-out labels 90 % intervals hold 0.85; the error is 12 % less than alone, "


@pytest.mark.parametrize("shift", range(20))
def test_no_line_is_too_long_and_no_percent_sign_begins_one(shift):
    paragraphs = ["x" * shift + " " + 5 * WORDS, 3 * WORDS]
    lines = wrapped(paragraphs, indent="  ", between="\n\n").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not any(line.strip().startswith("%") for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(" ".join(paragraphs).split())


def test_a_name_keeps_its_no_break_space():
    assert wrapped(["band\N{NO-BREAK SPACE}gap: 90 % intervals"]) == "band\N{NO-BREAK SPACE}gap: 90 % intervals"
