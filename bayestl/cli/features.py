"""Which columns of a file are features, and as what: those that ``--features`` names, or those that can be nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayestl.cli.inputs import names_in, require_columns
from bayestl.cli.reading import FileTable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREFIXES = {"numbers": "numbers", "categories": "categories", "composition": "formulas", "molecules": "smiles"}
"""What ``--features`` says in front of a column, and the kind of the column in ``features.TableFeatures``."""
_OF_KIND = {kind: prefix for prefix, kind in PREFIXES.items()}
_WORDS = {"formulas": "no chemical formula", "smiles": "no SMILES string"}
_ID = re.compile(
    r"(id|index|idx|no|nr|number|nummer|lfd\.? ?nr|row|zeile|#|key|sample|probe|uid|uuid)[.:]?|.*[ _-](id|idx|index|nr)\.?",
    re.I,
)
_CAMEL_ID = re.compile(r".*[a-z]ID")
OF_PREDICT = ("mean", "std", "median", "lower", "upper")
"""Columns that ``predict`` writes for each task with numbers."""
FAR = 1.0
"""Part of the range of the fitted numbers beyond its ends from which a number is far."""
SHOWN = 8
Beyond = tuple[int, float, float, float]
"""How many numbers are far beyond others, one of them, and the least and the largest of the others."""
Say = Callable[[str], None]


class Inputs:
    """The features of a file: columns with their kinds, and what has been learnt of them.

    ``kinds``: for each column one of ``features.kinds.KINDS``.
    """

    def __init__(
        self, kinds: Mapping[str, str], presets: Sequence[str], jobs: int | None = 1, verbose: bool = False
    ) -> None:
        from bayestl.features import TableFeatures
        from bayestl.features.composition import PRESETS
        from bayestl.features.kinds import KINDS

        if unknown := [preset for preset in presets if preset not in PRESETS]:
            raise ValueError(f"--presets: unknown preset {unknown[0]!r}; the presets are {list(PRESETS)}")

        columns: dict[str, Any] = {kind: [name for name in kinds if kinds[name] == kind] for kind in KINDS}
        self.kinds = dict(kinds)
        self.features = TableFeatures(**columns, presets=presets, n_jobs=jobs, verbose=verbose)

    @property
    def formulas(self) -> list[str]:
        """The columns of formulas."""
        return [name for name, kind in self.kinds.items() if kind == "formulas"]

    def fit(self, table: FileTable, names: pd.Series | None = None) -> pd.DataFrame:
        """The features of the table that a model is fitted to; ``names`` (n,) those of the rows."""
        return self._compute(table, names, self.features.fit_transform)

    def transform(self, table: FileTable, names: pd.Series | None = None) -> pd.DataFrame:
        """The features of another table."""
        require_columns(table, list(self.kinds), "--features of the model")
        return self._compute(table, names, self.features.transform)

    def check(self, table: FileTable) -> None:
        """Refuse cells that are no features, before any is computed."""
        from bayestl.features import parse_formulas, parse_smiles

        require_columns(table, list(self.kinds), "--features of the model")
        for name, kind in self.kinds.items():
            column = self._column(table, name)
            if kind in _WORDS:
                try:
                    (parse_formulas if kind == "formulas" else parse_smiles)(column.dropna().drop_duplicates())
                except ValueError as error:
                    self._refuse_unread(table, error)

    def empty_cells(self, table: FileTable, marked: bool) -> dict[str, int]:
        """Columns with empty cells, which are filled, and how many; ``marked``: a feature says where, as the fitted table had some."""
        filled = [name for name in self.kinds if (name in self.features.missing_) == marked]
        return {name: n for name in filled if (n := int(self._column(table, name).isna().sum()))}

    def note_empty(self, table: FileTable, say: Say) -> None:
        """Say which columns of the table that a model is fitted to have empty cells."""
        if words := [f"{name!r} ({n})" for name, n in self.empty_cells(table, marked=True).items()]:
            say(f"empty cells are filled (numbers by the median), and a feature says where they were: {few(words)}")

    def far(self, table: FileTable, fitted: Any) -> dict[str, Beyond]:
        """Columns with numbers far beyond those that the model was fitted to, in another unit perhaps."""
        found = {}
        for name in (n for n, kind in self.kinds.items() if kind == "numbers" and n in fitted.table_.features):
            known = fitted.table_.x[:, fitted.table_.features.index(name)]
            if beyond := far_beyond(self._column(table, name).to_numpy(dtype=float), known):
                found[name] = beyond
        return found

    def to_json(self) -> dict[str, Any]:
        """What has been learnt, as JSON values."""
        return self.features.to_json()

    @classmethod
    def from_json(cls, learnt: dict[str, Any], verbose: bool = False) -> Inputs:
        """The features that :meth:`to_json` describes."""
        from bayestl.features import TableFeatures

        new = cls(learnt["kinds"], learnt["presets"])
        new.features = TableFeatures.from_json(learnt, verbose=verbose)
        return new

    def _column(self, table: FileTable, name: str) -> pd.Series:
        read = {"numbers": table.numbers, "categories": table.levels}.get(self.kinds[name], table.text)
        return read(name)

    def _compute(self, table: FileTable, names: pd.Series | None, compute: Callable[[Any], Any]) -> pd.DataFrame:
        import pandas as pd

        from bayestl.features import FormulaError, SmilesError

        index = [
            _Row(row, f"{table.place} {at}")
            for row, at in zip(table.cells.index if names is None else names, table.places, strict=True)
        ]
        columns = {name: self._column(table, name).to_numpy() for name in self.kinds}
        try:
            features = compute(pd.DataFrame(columns, index=pd.Index(index, dtype=object)))
        except (FormulaError, SmilesError) as error:
            self._refuse_unread(table, error)
            raise
        return features.set_axis(table.cells.index if names is None else pd.Index(names), axis=0)

    def _refuse_unread(self, table: FileTable, error: ValueError) -> None:
        """Name the cells of the columns of formulas and SMILES strings that are none."""
        from bayestl.features.formula import fault_of

        for name, kind in self.kinds.items():
            if kind in _WORDS:
                texts = table.text(name)
                wrong = {text for text in texts.dropna().unique() if not _reads(kind, text)}
                if wrong:
                    first = next(text for text in texts.dropna() if text in wrong)
                    why = f" ({fault_of(first)})" if kind == "formulas" else ""
                    raise ValueError(
                        f"column {name!r} of {table.path.name} holds {table.where(texts.isin(wrong), name)}: {_WORDS[kind]}{why}; correct the cell, "
                        f"drop the row, or name the column as {_other(kind)}:{name} or categories:{name}"
                    ) from error


class _Row:
    """A row of a file as messages call it: its name or number, and its line."""

    def __init__(self, name: Any, place: str) -> None:
        self.words = f"{name!r} ({place})"

    def __repr__(self) -> str:
        return self.words


def _reads(kind: str, text: str) -> bool:
    """Whether a text is a formula or SMILES string."""
    import pandas as pd

    from bayestl.features import parse_formulas, parse_smiles

    try:
        (parse_formulas if kind == "formulas" else parse_smiles)(pd.Series([text]))
    except ValueError:
        return False
    return True


def _other(kind: str) -> str:
    return "molecules" if kind == "formulas" else "composition"


def choose_features(table: FileTable, spec: str | None, taken: Mapping[str, str], say: Say) -> dict[str, str]:
    """The columns that are features, with their kinds: those of the option, or else by their cells.

    ``taken``: columns that are something else, with what they are, such as ``"a label"``.  ``say`` gets what was
    assumed.

    Raises
    ------
    ValueError
        If the option names what is no column or cannot be a feature, or no column is left.
    """
    return _named(table, spec, taken, say) if names_in(spec, "--features") else _evident(table, taken, say)


def _named(table: FileTable, spec: str | None, taken: Mapping[str, str], say: Say) -> dict[str, str]:
    """The features that the option names."""
    kinds: dict[str, str] = {}
    understood = []
    for item in names_in(spec, "--features"):
        prefix, sign, rest = item.partition(":")
        told = None
        if item not in table.columns and sign:
            if prefix not in PREFIXES:
                raise ValueError(
                    f"--features: {item!r} is neither a column nor one of {', '.join(f'{p}:COLUMN' for p in PREFIXES)}"
                )
            item, told = rest, PREFIXES[prefix]
        require_columns(table, [item], "--features")
        if taken.get(item) in ("a label", "a standard error"):
            raise ValueError(f"--features: {item!r} is {taken[item]}, which cannot be a feature")
        kind = told or _kind_of_named(table, item)
        if told is None and kind != "numbers":
            understood.append(f"{_OF_KIND[kind]}:{item}")
        if kinds.setdefault(item, kind) != kind:
            raise ValueError(f"--features names {item!r} twice, as {_OF_KIND[kinds[item]]} and {_OF_KIND[kind]}")
    if understood:
        say(f"features taken as {', '.join(understood)}")
    return kinds


def _kind_of_named(table: FileTable, name: str) -> str:
    """The kind of a column of which the option says no more."""
    kind = table.kinds[name]
    if kind == "truth":
        return "categories"
    if kind == "text":
        return _kind_of_text(table, name) or _ask(name, table)
    if kind == "date":
        raise ValueError(
            f"--features: column {name!r} of {table.path.name} holds dates: give numbers, such as days since the first, or say "
            f"categories:{name}"
        )
    return "numbers"


def _ask(name: str, table: FileTable) -> str:
    example, codes = table.text(name).dropna().iloc[0], f"numbers:{name}, " * table.fact(name).codes
    raise ValueError(
        f"--features: column {name!r} of {table.path.name} holds text such as {example!r}: say what it is, {codes}composition:{name}, "
        f"molecules:{name} or categories:{name}"
    )


def _kind_of_text(table: FileTable, name: str) -> str | None:
    """The kind of a column of text; None where it is not clear."""
    from bayestl.features.kinds import kind_of

    try:
        return kind_of(table.text(name))
    except (ValueError, ImportError):
        return None


def misprint(table: FileTable, name: str) -> str | None:
    """What is wrong with a column of formulas of which a few are none; None for any other column."""
    from bayestl.features.kinds import misprints

    texts = table.text(name)
    faults = misprints(texts.dropna().unique())
    if not faults:
        return None
    why = next(iter(faults.values()))
    return f"column {name!r} holds {table.where(texts.isin(faults), name)}, no formula as its other texts are ({why}): correct it"


def of_predict(columns: Sequence[str]) -> set[str]:
    """Columns that ``predict`` has written, by their names."""
    found = set()
    for name in columns:
        task = name.removesuffix("_median")
        if task != name and f"{task}_lower" in columns and f"{task}_upper" in columns:
            found |= {f"{task}_{part}" for part in OF_PREDICT}
        task = name.removesuffix("_class")
        if task != name and (of_classes := {c for c in columns if c.startswith(f"{task}_p_")}):
            found |= {name, *of_classes}
    return found & set(columns)


def kinds_in(table: FileTable, taken: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Features by the cells of a table, why other columns are none, and how ``--features`` would name columns of text."""
    kinds, others, offers = {}, {}, []
    predicted = of_predict(table.columns)
    for name in table.columns:
        if name in taken:
            kind = _kind_of_text(table, name) if taken[name] == "the name" and table.kinds[name] == "text" else None
            offers += [f"{_OF_KIND[kind]}:{name}"] if kind in ("formulas", "smiles") else []
            continue
        reason = "a prediction" if name in predicted else _no_feature(table, name)
        if reason is None:
            kinds[name] = "categories" if table.kinds[name] == "truth" else "numbers"
        elif reason == "text":
            kind = _kind_of_text(table, name)
            offers += [f"{_OF_KIND[kind]}:{name}"] if kind else []
            others[name] = "text"
        else:
            others[name] = reason
    return kinds, others, offers


def _evident(table: FileTable, taken: Mapping[str, str], say: Say) -> dict[str, str]:
    """All columns of numbers and truth values that are not taken, do not count or name the rows, and vary."""
    kinds, others, offers = kinds_in(table, taken)
    for name in others:
        if table.kinds[name] == "mixed" and others[name] == "numbers and text":
            table.numbers(name, cure=" (or name other columns in --features)")
    shown = [f"{name!r} ({reason})" for name, reason in others.items() if reason != "text"]
    words = [f"left out of the features: {few(shown)}"] if shown else []
    if offers:
        named = [f'"{name}"' if "," in name else name for name in [*kinds, *offers[:SHOWN]]]
        words.append(f"text can be features too: --features {','.join(named)}")
    if not kinds:
        such = f", such as {offers[0]}" if offers else ""
        why = f" ({words[0]})" if shown else ""
        raise ValueError(f"no numeric feature columns are left: name them with --features{such}{why}")
    if words:
        say("; ".join(words))
    return kinds


def _no_feature(table: FileTable, name: str) -> str | None:
    """Why a column is no feature by itself; None if it is."""
    import numpy as np

    kind = table.kinds[name]
    if name.startswith("Unnamed: "):
        return "it has no name"
    if table.fact(name).codes:
        return f"zeros in front, as of codes; numbers:{name} reads numbers"
    if kind not in ("number", "truth"):
        return {"date": "dates", "mixed": "numbers and text", "limits": "limits", "empty": "empty"}.get(kind, "text")
    values = table.plain(name)
    if len(values.dropna().drop_duplicates()) == 1:
        return "constant" if values.notna().all() else None
    if kind == "truth" or values.isna().any() or len(values) < 3:
        return None
    x = values.to_numpy(dtype=float)
    if any(np.array_equal(x, np.arange(start, start + len(x))) for start in (0, 1)):
        return "row numbers"
    is_id = _ID.fullmatch(name.strip()) or _CAMEL_ID.fullmatch(name.strip())
    return "an ID" if is_id and values.is_unique and np.array_equal(x, np.round(x)) else None


def few(words: list[str]) -> str:
    """The first of some words, and how many there are more."""
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def far_beyond(values: np.ndarray, fitted: np.ndarray) -> Beyond | None:
    """Numbers (n,) that are far beyond fitted ones (m,), if there are any."""
    low, high = float(fitted.min()), float(fitted.max())
    beyond = (values < low - FAR * (high - low)) | (values > high + FAR * (high - low))
    return (int(beyond.sum()), float(values[beyond][0]), low, high) if beyond.any() else None
