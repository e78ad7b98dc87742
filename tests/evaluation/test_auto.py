import numpy as np
import pytest
from support.auto import QUICK, quick_auto, with_limits

import bayestl as btl
from bayestl.evaluation.shared_tasks import tasks_of_all


@pytest.fixture(scope="module")
def table():
    return with_limits()


def test_limits_that_one_model_sees_are_limits_for_all(table):
    X, Y = table
    models = {"alone": btl.IndependentGP(**QUICK), "auto": quick_auto()}
    comparison = btl.compare(models, X, Y, "measured", cv=2, verbose=False)
    assert not comparison.failures
    labels = comparison.predictions
    below = Y["measured"].astype(str).str.startswith("<").to_numpy()[labels["row"]]
    assert below.any()
    np.testing.assert_array_equal(labels["y"] == -np.inf, below)
    assert (labels.loc[below, "high"] == 0.9).all()
    assert labels.groupby("model").size().tolist() == [14, 14]


def test_each_task_is_read_as_the_first_model_that_knows_its_likelihood(table):
    named = btl.Task("dft", unit="eV")
    known = btl.Task("dft", btl.StudentT())
    models = {"a": btl.IndependentGP(tasks=[named]), "b": btl.IndependentGP(tasks=[known]), "c": btl.AutoTransfer()}
    read = {task.name: type(task.observes) for task in tasks_of_all(models, table[1])}
    assert read == {"dft": btl.StudentT, "measured": btl.Censored}
    assert tasks_of_all({"a": btl.IndependentGP()}, table[1]) is None


def test_the_gain_is_over_the_same_choice_of_models_without_the_others(table):
    X, Y = table
    gain = btl.transfer_gain(quick_auto(), X, Y, "measured", cv=2, verbose=False)
    assert gain["n"] == 14
    assert np.isfinite(gain.astype(float)).all()
