"""What ``predict`` does with a file: rows are read, predicted and written part by part, and a run that was ended goes on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from bayestl.cli.app import Notes, printer
from bayestl.cli.features import OF_PREDICT, Beyond, Inputs, far_beyond
from bayestl.cli.inputs import similar
from bayestl.cli.labels import beside, other_units, read_errors, read_labels, row_names
from bayestl.cli.outputs import write
from bayestl.cli.reading import FileTable, Reading, TableParts
from bayestl.cli.reading.writing import EXCEL, join, part_bytes, suffix
from bayestl.files.parts import Parts
from bayestl.models.batches import informing, matched
from bayestl.parallel import in_parallel
from bayestl.progress import progress
from bayestl.streams import Occurrences
from bayestl.table.new_rows import RowsSoFar
from bayestl.version import __version__

if TYPE_CHECKING:
    import pandas as pd


class Question:
    """How the rows of a file with some ``columns`` are asked of a model written by ``fit``.

    Raises
    ------
    ValueError
        If the model was not written by ``fit``.
    """

    def __init__(
        self, fitted: Any, model: Path, columns: list[str], ignore_labels: bool, note: Notes, verbose: bool
    ) -> None:
        document = fitted.notes_.get("inputs")
        if document is None:
            raise ValueError(
                f"{model} does not say how its columns are read: it was saved from Python; use it there (bayestl.load), or fit it by "
                "`bayestl fit`"
            )
        self.fitted, self.document, self.note = fitted, document, note
        self.inputs = Inputs.from_json(document["features"], verbose)
        self.tasks = {t.name: t.observes for t in fitted.tasks_}
        self.known = [n for n in self.tasks if n in columns] if not ignore_labels else []
        self.filled, self.units = Counter[str](), dict[str, str]()
        self.far, self.far_labels = dict[str, list[Any]](), dict[str, list[Any]]()
        further = {"group": document["groups"], "name": document["name"]}
        absent = {n: "label" for n in self.tasks if not ignore_labels} | {c: what for what, c in further.items() if c}
        rest = [c for c in columns if c not in self.inputs.kinds and c not in absent]
        for column, what in absent.items():
            if column not in columns and ((alike := similar(column, rest)) or what != "label"):
                note(
                    f"the file has no column {column!r}, so no {what}s of it are known"
                    + (f": is {alike!r} meant? numbers are taken as they are, whatever the unit" if alike else "")
                )

    def check(self, part: FileTable) -> None:
        """Refuse cells that cannot be read, before anything is predicted, and count what is to be noted."""
        self.inputs.check(part)
        self.filled.update(self.inputs.empty_cells(part, marked=False))
        labels, _ = self._labels(part)
        for far, of_part in (
            (self.far, self.inputs.far(part, self.fitted)),
            (self.far_labels, {} if labels is None else self._far(labels)),
        ):
            for name, (n, *example) in of_part.items():
                far.setdefault(name, [0, *example])[0] += n
        self.units = part.units

    def _far(self, labels: pd.DataFrame) -> dict[str, Beyond]:
        """The tasks with known labels far beyond those that the model was fitted to."""
        import numpy as np
        import pandas as pd

        table, found = self.fitted.table_, {}
        for t, task in enumerate(table.tasks):
            fitted = table.labels.y[np.isfinite(table.labels.y[:, t]), t]
            if task.name in labels and task.classes is None and len(fitted):
                values = pd.to_numeric(labels[task.name], errors="coerce").to_numpy(dtype=float)
                if beyond := far_beyond(values, fitted):
                    found[task.name] = beyond
        return found

    def tell(self) -> None:
        """Note what was counted, and labels in another unit than that of the model."""
        other_units(self.units, (t for t in self.fitted.tasks_ if t.name in self.known), "the model", self.note)
        if self.filled:
            words = [f"{name!r} ({n})" for name, n in self.filled.items()]
            self.note(f"empty cells get the median of the fitted table: {', '.join(words)}")
        for far, what in (
            (self.far, "far beyond the fitted table, where predictions are guesses"),
            (self.far_labels, "known labels far beyond the fitted ones, which bend the predictions of other rows"),
        ):
            words = [
                f"{name!r} ({n} row{'s' * (n > 1)}, such as {value:g}; fitted to {low:g} to {high:g})"
                for name, (n, value, low, high) in far.items()
            ]
            if words:
                self.note(f"{what}: {', '.join(words)}")
        self.note.show()

    def _labels(self, part: FileTable) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        """The labels known of rows, and their standard errors."""
        if not self.known:
            return None, None
        std = {n: c for n, c in self.document["std"].items() if n in self.known and c in part.columns}
        labels = read_labels(part, {n: self.tasks[n] for n in self.known}, evident=True)
        return labels, read_errors(part, std, part.cells.index)

    def given(self, part: FileTable) -> dict[str, Any]:
        """The arguments of ``posterior`` for the rows of a part."""
        X = self.inputs.transform(part, row_names(part, self.document["name"]))
        observed, errors = (None if v is None else v.set_axis(X.index, axis=0) for v in self._labels(part))
        column = self.document["groups"]
        groups = part.text(column).to_numpy() if column in part.columns else None
        return {"X": X, "observed": observed, "observed_std": errors, "groups": groups}

    def counts(self, rows: Any) -> tuple[int, int]:
        """How many rows are those of the fitted table, and how many others have the features of one."""
        again = rows.row < len(self.fitted.table_.x)
        alike = ~again & [row.tobytes() in self._features for row in rows.x]
        return int(again.sum()), int(alike.sum())

    @property
    def _features(self) -> set[bytes]:
        if not hasattr(self, "_fitted_rows"):
            table = self.fitted.table_
            self._fitted_rows = {row.tobytes() for row in self.fitted.scaler_.features(table.x)}
        return self._fitted_rows

    @staticmethod
    def say_counts(again: int, alike: int, say: Callable[[str], None]) -> None:
        """Print the counts of :meth:`counts`."""
        if again:
            say(f"{again} rows are those of the fitted table: their labels count once")
        if alike:
            say(
                f"rows with the features of a row of the fitted table, taken for other rows: {alike}; if they are the same, name "
                "them with --name when fitting, and alike here"
            )


class Handed:
    """A fitted model on its way to other processes, as its arrays, from which each of them makes it once."""

    def __init__(self, model: Any) -> None:
        self._kind, self._state, self._key = type(model), model.__getstate__(), uuid4().hex

    def model(self) -> Any:
        """The model."""
        if self._key not in _READ:
            _READ.clear()
            model: Any = object.__new__(self._kind)
            model.__setstate__(self._state)
            _READ[self._key] = model
        return _READ[self._key]


_READ: dict[str, Any] = {}


def predicted(model: Any, batch: Any, informants: Any, level: float) -> dict[str, Any]:
    """The columns of predictions of a batch: mean, median, standard deviation, interval; for classes probabilities."""
    fitted = model.model() if isinstance(model, Handed) else model
    post = fitted._posterior_of_batch(batch, informants)
    return {name: values.to_numpy() for name, values in post.to_frame(level).items()}


def columns_of(fitted: Any) -> list[str]:
    """The names of the columns of :func:`predicted`."""
    names = []
    for task in fitted.tasks_:
        of_task = OF_PREDICT if task.classes is None else ["class", *(f"p_{c}" for c in task.observes.classes)]
        names += [f"{task.name}_{of}" for of in of_task]
    return names


def results(jobs: Iterator[tuple[Any, ...]], n_jobs: int | None) -> Iterator[dict[str, Any]]:
    """The results of :func:`predicted`; jobs are taken as they are needed."""
    if n_jobs == 1:
        yield from starmap(predicted, jobs)
    elif n_jobs is None:
        yield from in_parallel(predicted, jobs, None, "predicting", verbose=False)
    else:  # a few at a time: joblib would take the jobs in threads of its own
        while some := list(islice(jobs, 4 * n_jobs)):
            yield from in_parallel(predicted, some, n_jobs, "predicting", verbose=False)


class Unfinished:
    """The predictions of a file so far: parts beside the output, or tables in memory where there is one part, or Excel."""

    def __init__(self, output: Path, parts: Parts | None) -> None:
        self.output, self.parts, self.frames = output, parts, list[Any]()
        self.again, self.alike = 0, 0

    def resume(self, so_far: RowsSoFar) -> int:
        """The number of parts that are finished; ``so_far`` is brought up to them."""
        for notes in self.parts.notes() if self.parts is not None else ():
            state = json.loads(str(notes["state"]))
            so_far.whole, so_far.groups = state["whole"], None if state["groups"] is None else tuple(state["groups"])
            so_far.first += len(notes["keys"])
            so_far.occurrences.of_keys(notes["keys"])
            self.count(state["again"], state["alike"])
        return 0 if self.parts is None else self.parts.count

    def count(self, again: int, alike: int) -> None:
        """Count rows of the fitted table, and rows like them."""
        self.again, self.alike = self.again + again, self.alike + alike

    def add(self, frame: pd.DataFrame, batch: Any, state: dict[str, Any], counts: tuple[int, int]) -> None:
        """Take the next rows with their predictions."""
        self.count(*counts)
        if self.parts is None:
            self.frames.append(frame)
            return
        document = json.dumps(state | {"again": counts[0], "alike": counts[1]})
        body = part_bytes(frame, self.output, is_first=self.parts.count == 0)
        self.parts.add(body, keys=Occurrences.keys(batch.rows.x), state=document)

    def finish(self) -> None:
        """Write the output."""
        import pandas as pd

        if self.parts is None:
            write(pd.concat(self.frames), self.output)
            return
        join(self.parts.paths(), self.output)
        self.parts.remove()


@contextmanager
def unfinished(output: Path, run: dict[str, str], in_memory: bool, force: bool, quiet: bool) -> Iterator[Unfinished]:
    """The predictions of a file so far; where they are ended before their time, what is finished is kept for the next run."""
    if in_memory:
        yield Unfinished(output, None)
        return
    if output.exists() and not output.is_file():  # a device or pipe
        with tempfile.TemporaryDirectory() as folder:
            yield Unfinished(output, Parts(Path(folder, output.name), run))
        return
    parts = Parts(output, run, force)
    try:
        yield Unfinished(output, parts)
    except BaseException:
        if parts.count and not quiet:
            typer.echo(f"note: {parts.count} parts are finished; the same command goes on after them", err=True)
        raise


def predict_file(
    fitted: Any,
    model: Path,
    data: Path,
    output: Path,
    asked: Asked,
    how: Reading,
    note: Notes,
    force: bool,
    quiet: bool,
) -> tuple[int, list[str]]:
    """Write the rows of a file with their predictions; returns their number and the tasks whose labels were known."""
    table = TableParts(data, how, note, asked.size)
    question = Question(fitted, model, table.columns, asked.ignore_labels, note, not quiet)
    for part in table:
        question.check(part)
    beside(next(iter(table)).frame.iloc[:0], dict.fromkeys(columns_of(fitted), ()), note)
    question.tell()
    so_far = RowsSoFar(question.document["name"] not in table.columns, False)

    def given(skipped: int, read: deque[FileTable] | None = None) -> Iterator[dict[str, Any]]:
        for part in table.after(skipped):
            if read is not None:
                read.append(part)
            yield question.given(part)

    with table.located():
        informants = None
        if question.known and fitted._informs_others():
            informants = informing(fitted, matched(fitted, given(0), replace(so_far)))
    in_memory = table.count == 1 or suffix(output) in EXCEL
    run = {} if in_memory else asked.run(model, data, how)
    with table.located(), unfinished(output, run, in_memory, force, quiet) as found:
        done = found.resume(so_far)
        if done:
            printer(quiet)(f"going on after {so_far.first} of {table.n} rows")
        read, sent = deque[FileTable](), deque[Any]()
        handed = fitted if asked.jobs == 1 else Handed(fitted)

        def jobs() -> Iterator[tuple[Any, ...]]:
            for batch in matched(fitted, given(done, read), so_far):
                sent.append((batch, {"whole": so_far.whole, "groups": so_far.groups}))
                yield handed, batch, informants, asked.level

        n = so_far.first
        with progress("rows predicted", total=table.n, verbose=not quiet and table.count > 1) as update:
            for columns in results(jobs(), asked.jobs) if n < table.n else ():
                part, (batch, state) = read.popleft(), sent.popleft()
                frame = beside(part.frame, columns, lambda text: None)
                found.add(frame, batch, state, question.counts(batch.rows))
                n += len(part)
                update(completed=n)
        found.finish()
    question.say_counts(found.again, found.alike, printer(quiet))
    return table.n, question.known


@dataclass(frozen=True)
class Asked:
    """What is asked of the rows of a file."""

    level: float
    ignore_labels: bool
    size: int
    jobs: int | None

    def run(self, model: Path, data: Path, how: Reading) -> dict[str, str]:
        """All that the predictions depend on, by words for it."""
        files = sorted(file for file in model.iterdir() if file.suffix in (".json", ".safetensors"))
        return {
            "version of bayestl": __version__,
            "model": " ".join(_digest(file) for file in files),
            "input": _digest(data),
            "way to read the input (--sep, --decimal, --encoding, --skip-rows, --sheet)": repr(how),
            "--level": repr(self.level),
            "--ignore-labels": repr(self.ignore_labels),
            "--rows": repr(self.size),
        }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
