"""A model says the same wherever it computes: on a simulated card, and on a real one where this machine has one.

The simulated card (``support/simulated.py``) refuses whatever a real one would: tensors that were left on the processor.  Its
rounding is that of the processor but for the inverse of a factor, which there SciPy computes.
"""

import contextlib
import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from support.simulated import simulated_device

import bayestl as btl
from bayestl.models.latent import by_chains
from bayestl.priors.processes import Constant
from laws.cells import SPREAD
from laws.test_same_numbers import answers, reference

CLOSE = {"rtol": 1e-6, "atol": 1e-6}
"""Tolerance, relative to the largest number of a result."""
QUICK = {"multi-task | gaussian, std", "difference | hurdle, both, std", "paired difference | log-normal, both", "chain | bernoulli",
         "latent, svi | student", "low rank | power-normal"}  # fmt: skip
FITTED = {"difference | gaussian, groups", "independent | positive, std"}
REAL = {*QUICK, *FITTED, "latent, mcmc | gaussian", "chain | categorical", "multi-task | student"}
OTHERS = pytest.mark.cells(lambda c: c.id in SPREAD - QUICK - FITTED)


@contextlib.contextmanager
def real_card():
    """A context in which ``cuda`` is a real card."""
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no card with CUDA on this machine: only the simulated one is tested")
    yield torch.device("cuda", torch.cuda.current_device())


def agree(one, two):
    assert one.keys() == two.keys()
    for name, values in one.items():
        if values.dtype == object:
            pd.testing.assert_frame_equal(pd.DataFrame(two[name]), pd.DataFrame(values), check_exact=False, rtol=1e-6)
            continue
        size = np.abs(values[np.isfinite(values)]).max(initial=1e-300)
        np.testing.assert_allclose(two[name] / size, values / size, err_msg=name, **CLOSE)


def everything(cell, model):
    """What a model says of other rows, of its own rows, and of itself."""
    found = answers(cell, model)
    post = model.posterior(**cell.asked(cell.new), noise=False)
    found |= {"latent mean": post.mean.to_numpy(float), "latent std": post.std.to_numpy(float)}
    found |= {"joint": post.sample(3, seed=1).to_numpy(), "complete": model.complete().mean.to_numpy(float)}
    frames = {"correlation": model.task_correlation()}
    if model._has_leave_one_out():
        frames |= {f"left out, {hide}": model.leave_one_out(hide=hide) for hide in ("target", "row") if model._has_leave_one_out(hide)}  # fmt: skip
    if devices(model):
        found |= {"draws": model._draws_at_rows(8, 0).latent}
        frames["hyperparameters"] = model.hyperparameter_summary(n_draws=8)
    if hasattr(model, "families_") and not isinstance(model, btl.ChainGP):
        found |= {"prior draws": model._prior_at_rows(2, 0).latent}
    if isinstance(model, btl.LatentVariableGP):
        frames |= {"latent": model.latent(20), "edges": model.edges(n_draws=20)}
    if isinstance(model, btl.DifferenceGP):
        for family in model.families_:  # which chains of the hyperparameters would find in a minute
            family.draws = family.posterior.draws
        frames["offsets"] = model.offsets(n_draws=50)
    return found | {k: v.select_dtypes("number").to_numpy(float) for k, v in frames.items()}


def said(cell):
    """:func:`everything` of the cell's model."""
    return cell.once("everything", lambda: everything(cell, copy.deepcopy(cell.model)))


def devices(model):
    """Where the tensors of a fitted model are."""
    if hasattr(model, "families_"):
        return {c.factor.device for f in model.families_ for c in f.posterior.components}
    return {model.posterior_.graph.x.device} if hasattr(model, "posterior_") else set()


def on_card(model):
    """The model, and the models in it, with ``device="cuda"`` where they have one."""
    for member in [*(getattr(model, "models", None) or {}).values(), getattr(model, "model", None)]:
        if member is not None:
            on_card(member)
    return model.set_params(device="cuda") if "device" in model.get_params(deep=False) else model


def check_file(cell, tmp_path, card):
    once = said(cell)
    cell.model.save(tmp_path / "model")
    with card() as device:
        model = btl.load(tmp_path / "model", device="cuda")
        assert devices(model) <= {device}
        agree(once, everything(cell, model))
        model.save(tmp_path / "again")
    agree(once, everything(cell, btl.load(tmp_path / "again")))


def check_fit(cell, card):
    with card() as device:
        model = on_card(cell.spec.make(cell.tasks)).fit(**cell.train)
        assert devices(model) <= {device}
        agree(reference(cell), answers(cell, model))


@pytest.mark.cells(lambda c: c.id in QUICK)
def test_a_model_from_a_file_says_the_same_on_a_card_and_back(cell, tmp_path):
    check_file(cell, tmp_path, simulated_device)


@pytest.mark.slow
@OTHERS
def test_models_of_all_kinds_from_a_file_say_the_same_on_a_card_and_back(cell, tmp_path):
    check_file(cell, tmp_path, simulated_device)


@pytest.mark.cells(lambda c: c.id in FITTED)
def test_a_fit_on_a_card_is_the_same(cell):
    check_fit(cell, simulated_device)


@pytest.mark.slow
@OTHERS
def test_fits_of_all_kinds_on_a_card_are_the_same(cell):
    check_fit(cell, simulated_device)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the chains have not converged")
@pytest.mark.cells(lambda c: c.id == "latent, mcmc | gaussian")
def test_short_chains_on_a_card_are_the_same(cell, monkeypatch):
    """Before they make much of a last digit."""
    for name, value in {"WARMUP": 4, "PATIENCE": 0, "STATES_PER_DRAW": 1, "KEPT": slice(None)}.items():
        monkeypatch.setattr(by_chains, name, value)

    def said(device):
        model = cell.spec.make(cell.tasks).set_params(n_draws=32, device=device).fit(**cell.train)
        return answers(cell, model)

    here = said("cpu")
    with simulated_device():
        agree(here, said("cuda"))


@pytest.mark.cells(lambda c: c.id in REAL)
def test_a_real_card_gives_the_same(cell, tmp_path):
    with real_card():
        check_file(cell, tmp_path, real_card)
        if not cell.model_name.startswith("latent"):  # chains and noisy gradients make more of a last digit
            check_fit(cell, real_card)


@pytest.mark.cells(lambda c: c.id in {"multi-task | gaussian, std", "latent, svi | student"})
def test_copies_and_pickles_stay_on_the_card(cell):
    once = reference(cell)
    with simulated_device() as device:
        model = pickle.loads(pickle.dumps(cell.model))
        on_card(model)
        for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert devices(made) == {device}
            agree(once, answers(cell, made))
    with pytest.warns(RuntimeWarning, match="the model computes on the processor"):
        here = pickle.loads(pickle.dumps(model))
    agree(once, answers(cell, here))


@pytest.mark.cells(lambda c: c.id in QUICK and not c.id.startswith("latent, svi"))  # Pyro takes it
def test_no_device_of_pytorch_is_taken_unasked(cell):
    """What is made without naming a device would be without numbers."""
    torch.set_default_device("meta")
    try:
        model = cell.fit()
        found = everything(cell, model)
    finally:
        torch.set_default_device(None)
    for name, values in said(cell).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.cells(lambda c: c.id == "multi-task | gaussian, std")
def test_what_was_left_on_the_processor_is_found(cell, monkeypatch):
    """The simulated card fails as a real one would."""
    monkeypatch.setattr(Constant, "covariance", lambda _, a, b: torch.ones(len(a.x), len(b.x), dtype=torch.float64))
    with simulated_device(), pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        on_card(cell.spec.make(cell.tasks)).fit(**cell.train)
