"""Tables with sentences show these in full."""

import pandas as pd

from bayestl.active.suggestions import SuggestionTable
from bayestl.diagnostics.checks import Check, as_table

LONG = "a sentence that is longer than what pandas shows of a cell, which is fifty characters, and so would be cut off"


def _suggestions(reason):
    columns = dict.fromkeys(SuggestionTable.whole, 1.0) | {"reason": reason}
    return SuggestionTable([columns, columns], index=pd.Index([4, 5], name="suggestion"))


def test_sentences_are_shown_in_full_below_their_row():
    for table in (_suggestions(LONG), as_table([Check("noise", "gap", 1.0, 2.0, "warn", LONG)])):
        assert f"\n    {LONG}" in repr(table)
        assert LONG in table._repr_html_()


def test_a_row_without_a_sentence_takes_one_line():
    assert len(repr(_suggestions("")).splitlines()) == 4  # columns, the name of the index, two rows


def test_a_part_of_the_table_is_shown_as_any_table():
    part = _suggestions(LONG)[["row", "reason"]]
    assert type(part) is pd.DataFrame
    assert repr(part) == repr(pd.DataFrame(part))


def test_columns_that_say_nothing_are_not_shown():
    empty = dict.fromkeys(("predicted", "lower", "upper", "hit", "score"))
    first = SuggestionTable([dict.fromkeys(SuggestionTable.whole, 1.0) | empty | {"reason": LONG}])
    half = SuggestionTable([dict(first.iloc[0]), dict(first.iloc[0]) | {"predicted": 2.0}])
    for shown in (repr(first), first._repr_html_(), repr(half), half._repr_html_()):
        assert "None" not in shown
        assert "NaN" not in shown
        assert "hit" not in shown
        assert LONG in shown
    assert "predicted" in repr(half)
    assert "predicted" not in repr(first)
    assert list(first.columns) == list(SuggestionTable.whole)  # shown without them, kept with them
