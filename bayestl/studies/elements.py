"""Case E: the chemical elements.  Hardness, the sparsest tasks, from denser ones, and measured from DFT volumes.

``RepeatedKFold(5, n_repeats=4, random_state=0)`` over the rows with any label of the table in question.
"""

from __future__ import annotations

from dataclasses import dataclass

from sklearn.model_selection import RepeatedKFold

from bayestl.datasets import load_elements
from bayestl.evaluation.calibration import calibration_table
from bayestl.evaluation.comparison import Comparison
from bayestl.evaluation.cross_validation import compare
from bayestl.models.ensembles.auto import AutoTransfer
from bayestl.studies import choose
from bayestl.studies.demo import HARDNESS, VOLUME, hardness_models, volume_models

TARGETS = {HARDNESS: ["brinell_hardness", "vickers_hardness"], VOLUME: ["measured_volume"]}


@dataclass
class Result:
    """The comparisons for hardness and for volume."""

    comparisons: list[Comparison]

    def __str__(self) -> str:
        texts = [f"{c}\n\ncalibration:\n{calibration_table(c).round(3).to_string()}" for c in self.comparisons]
        return "\n\n".join(texts)


def run(
    hide: str = "target",
    only: list[str] | None = None,
    n_repeats: int = 4,
    seed: int = 0,
    n_jobs: int | None = 2,
    verbose: bool = True,
) -> Result:
    """Run the protocol for hardness and for volume.

    Parameters
    ----------
    hide : {"target", "row"}
        Whether a held-out element keeps its other labels (``"target"``) or loses all.
    only : list of str, optional
        Names of the models to run; by default the exact ones.  ``"auto"`` is :class:`~bayestl.AutoTransfer` of all tasks.
    n_repeats : int
        Repeats of the five folds.
    seed : int
        Seed of the models; the folds are fixed.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : bool
        Progress on a terminal.
    """
    data = load_elements()
    folds = RepeatedKFold(n_splits=5, n_repeats=n_repeats, random_state=0)
    comparisons = []
    for names, models in ((HARDNESS, hardness_models), (VOLUME, volume_models)):
        labels = data.Y[list(names)]
        rows = labels.notna().any(axis=1)
        tasks = [task for task in data.tasks if task.name in names]
        auto = AutoTransfer(tasks=tasks, random_state=seed, verbose=False)
        chosen = choose(models(tasks, seed) | {"auto": auto}, only or ["independent", "multi-task", "difference"])
        comparisons.append(
            compare(
                chosen,
                data.X[rows],
                labels[rows],
                target=TARGETS[names],
                cv=folds,
                hide=hide,
                n_jobs=n_jobs,
                verbose=verbose,
            )
        )
    return Result(comparisons)
