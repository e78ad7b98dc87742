"""Files, pickles, clones, threads and processes give the same numbers, to the last digit; so does one seed."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import bayestl as btl
from laws.cells import FEW

EACH = pytest.mark.cells(lambda c: c.model_name == "multi-task" or c.kind_name in FEW)


def numbers(post):
    """What a posterior says, as arrays."""
    found = {"mean": post.mean, "std": post.std, "quantile": post.quantile(0.9), "point": post.point()}
    found |= {f"probabilities of {t.name}": post.probabilities(t.name) for t in post.tasks if t.classes is not None}
    derived = post.apply(_either)
    return {k: v.to_numpy() for k, v in found.items()} | {
        "sample": post.sample(3, seed=2).to_numpy(),
        "function": derived.mean.to_numpy(),
    }


def asked(cell):
    rows = cell.part([*range(cell.spec.rows, len(cell.table["X"])), 2, 7])
    return cell.asked(rows) | {"observed": rows["Y"][["source"]]}


def answers(cell, model):
    rows = cell.new
    density = model.log_density(**cell.asked(rows), Y=rows["Y"])
    return numbers(model.posterior(**asked(cell))) | {"log_density": density.to_numpy()}


def reference(cell):
    return cell.once("answers", lambda: answers(cell, cell.model))


def same(a, b):
    assert a.keys() == b.keys()
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name], err_msg=name)


@EACH
def test_a_prediction_repeats(cell):
    same(answers(cell, cell.model), reference(cell))


@EACH
def test_a_saved_model_says_the_same(cell, tmp_path):
    cell.model.save(tmp_path / "model")
    same(answers(cell, btl.load(tmp_path / "model")), reference(cell))


@EACH
def test_a_pickled_model_says_the_same(cell):
    same(answers(cell, pickle.loads(pickle.dumps(cell.model))), reference(cell))


@EACH
def test_a_pickled_posterior_says_the_same(cell):
    post = cell.model.posterior(**asked(cell))
    same(numbers(pickle.loads(pickle.dumps(post))), numbers(post))


@EACH
def test_a_pickled_function_of_tasks_says_the_same(cell):
    derived = cell.model.posterior(**asked(cell)).apply(_either, "either")
    back = pickle.loads(pickle.dumps(derived))
    for method in (lambda d: d.mean, lambda d: d.std, lambda d: d.quantile(0.3)):
        pd.testing.assert_series_equal(method(back), method(derived), check_exact=True)
    np.testing.assert_array_equal(back.sample(3, seed=1), derived.sample(3, seed=1))


def _either(y):
    return (y["target"] == y["source"]).astype(float)


@pytest.mark.cells(lambda c: c.spec.refit(c.kind_name) and c.kind_name == "gaussian")
def test_a_clone_fits_to_the_same_numbers_in_a_thread(cell):
    """Fitted at the same time as another clone."""
    with ThreadPoolExecutor(2) as pool:
        fits = [pool.submit(clone(cell.model).fit, **cell.train) for _ in range(2)]
        for fit in fits:
            same(answers(cell, fit.result()), reference(cell))


SEEDED = {"multi-task | gaussian, std", "chain | categorical", "latent, svi | ordinal", "low rank | log-normal",
          "recalibrated by conformal | gaussian", "stack | gaussian"}  # fmt: skip
ELSEWHERE = {"multi-task | gaussian, std", "latent, svi | ordinal"}


@pytest.mark.cells(lambda c: c.id in ELSEWHERE)
def test_a_process_fits_and_predicts_the_same(cell):
    model, post = joblib.Parallel(n_jobs=2)([joblib.delayed(_fit)(clone(cell.model), cell.train, asked(cell))] * 2)[0]
    same(answers(cell, model), reference(cell))
    same(numbers(post), numbers(cell.model.posterior(**asked(cell))))


def _fit(model, train, asked):
    model.fit(**train)
    return model, model.posterior(**asked)


@pytest.mark.cells(lambda c: c.id in SEEDED)
@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_a_generator_is_a_seed(cell, make):
    """Two of the same seed fit and draw alike; the model itself is asked twice without change."""
    models = [clone(cell.model).set_params(random_state=make(5)).fit(**cell.train) for _ in range(2)]
    same(answers(cell, models[0]), answers(cell, models[1]))
    same(answers(cell, models[0]), answers(cell, models[0]))
    post = models[0].posterior(**asked(cell))
    np.testing.assert_array_equal(post.sample(2, seed=make(1)), post.sample(2, seed=make(1)))


@pytest.mark.cells(lambda c: c.id in SEEDED)
def test_no_seed_is_taken_too(cell, tmp_path):
    """Each fit differs in its random numbers, but what was fitted repeats, also from a file."""
    model = clone(cell.model).set_params(random_state=None).fit(**cell.train)
    once = answers(cell, model)
    same(answers(cell, model), once)
    model.save(tmp_path / "model")
    same(answers(cell, btl.load(tmp_path / "model")), once)


@EACH
def test_draws_repeat_from_their_seed_and_differ_between_seeds(cell):
    post = cell.model.posterior(**asked(cell))
    one, again, other = (post.sample(4, seed=s).to_numpy() for s in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
