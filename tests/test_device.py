"""The choice of a device, ways in and out, and what else computes on one: large tables, closed forms, BoTorch's view, commands."""

import contextlib

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from support.simulated import DEVICE, Simulated, simulated_device
from typer.testing import CliRunner

import bayestl as btl
from bayestl.active.acquisition.knowledge import knowledge
from bayestl.active.acquisition.pool import Pool
from bayestl.active.goals import Learn
from bayestl.cli import app
from bayestl.device import CPU, ENOUGH_LABELS, tensor, to_numpy, torch_device
from bayestl.inference.gaussian.large import inducing
from bayestl.streams import torch_generator, torch_normal
from bayestl.table.table import build_table

FAST = {"hyperparameters": "map", "n_starts": 1, "verbose": False}
NONE = ["gpu", "mps", "meta", "xpu", "CUDA", " cuda", "cuda ", "cuda:", "cuda:x", "cuda:-1", "cuda0", "cpu:0", "", None, 0, True,
        ["cuda"], torch.device("mps"), np.array("cpu")]  # fmt: skip
ABSENT = ["cuda", "cuda:0", "cuda:7", torch.device("cuda")]


@contextlib.contextmanager
def no_card(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    yield


@pytest.mark.parametrize("card", [no_card, lambda _: simulated_device()])
@pytest.mark.parametrize("device", NONE, ids=repr)
def test_what_is_no_device_is_refused(card, device, monkeypatch):
    with (
        card(monkeypatch),
        pytest.raises(ValueError, match="device must be 'cpu', 'cuda', 'cuda:1' or the like, or 'auto'"),
    ):
        torch_device(device, 10)


@pytest.mark.parametrize("device", ABSENT, ids=repr)
def test_a_card_that_is_not_there_is_refused_or_replaced(device, monkeypatch):
    with no_card(monkeypatch):
        with pytest.raises(ValueError, match="here PyTorch finds no card with CUDA: take device='auto' or 'cpu'"):
            torch_device(device, 10)
        with pytest.warns(RuntimeWarning, match="the model computes on the processor"):
            assert torch_device(device, 10, or_cpu=True) == CPU


def test_the_device_is_what_was_asked_for(monkeypatch):
    with simulated_device():
        for device in ("cuda", "cuda:0", torch.device("cuda")):
            assert torch_device(device, 1) == DEVICE
        with pytest.raises(ValueError, match="device='cuda:1', but here PyTorch finds cuda:0: take"):
            torch_device("cuda:1", 1)
        assert torch_device("cpu", 10**6) == CPU
        assert [torch_device("auto", ENOUGH_LABELS - 1), torch_device("auto", ENOUGH_LABELS)] == [CPU, DEVICE]
    with no_card(monkeypatch):
        assert torch_device("auto", 10**6) == CPU


def test_arrays_go_in_and_come_out():
    values = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(to_numpy(tensor(values)), values)
    with simulated_device():
        there = tensor(values, DEVICE).requires_grad_(True)
        assert isinstance(there, Simulated)
        np.testing.assert_array_equal(to_numpy(there), values)


def test_random_numbers_do_not_depend_on_the_device():
    here = torch_normal((4, 3), torch_generator(0, "test"), torch.zeros(1, dtype=torch.float64))
    with simulated_device():
        there = torch_normal((4, 3), torch_generator(0, "test"), torch.zeros(1, dtype=torch.float64, device=DEVICE))
        assert there.device == DEVICE
        np.testing.assert_array_equal(to_numpy(there), here)


X = torch.arange(6.0).reshape(2, 3)
MIXED = [lambda x: x + torch.ones(3), lambda x: x @ torch.ones(3, 1), lambda x: torch.cat([x, torch.ones(1, 3)]),
         lambda x: torch.where(x > 1, x, torch.zeros(3)), lambda x: torch.stack([x[0, 0], torch.tensor(1.0)]),
         lambda x: x.index_select(0, torch.tensor([0])), lambda x: torch.linalg.solve_triangular(torch.eye(2), x, upper=False),
         lambda x: x.numpy(), lambda x: np.asarray(x), lambda x: x[[0]], lambda x: torch.ones(2)[x[:, 0] > 0]]  # fmt: skip
ALIKE = [lambda x: x + torch.tensor(2.0), lambda x: x[torch.tensor([1])], lambda x: torch.where(x > 1, x, 0.0),
         lambda x: x.to("cpu") + torch.ones(3), lambda x: x.new_zeros(2), lambda x: torch.linalg.qr(x.T, mode="r").R,
         lambda x: torch.linalg.eigh(x @ x.mT)[0], lambda x: torch.vmap(lambda v: v.exp().sum())(x),
         lambda x: torch.autograd.grad((y := x.clone().requires_grad_()).exp().sum(), y)[0]]  # fmt: skip


@pytest.mark.parametrize("function", range(len(MIXED)))
def test_the_simulated_card_refuses_what_a_real_one_would(function):
    with simulated_device(), pytest.raises((RuntimeError, TypeError)):
        MIXED[function](X.to(DEVICE))


@pytest.mark.parametrize("function", range(len(ALIKE)))
def test_the_simulated_card_computes_as_the_processor_does(function):
    with simulated_device():
        np.testing.assert_array_equal(to_numpy(ALIKE[function](X.to(DEVICE))), to_numpy(ALIKE[function](X)))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (60, 2)), columns=["p", "q"])
    f = np.sin(2 * X["p"]) + X["q"]
    Y = pd.DataFrame({"source": f, "target": 1.3 * f + 0.5}) + 0.1 * rng.standard_normal((60, 2))
    Y.loc[::2, "target"] = np.nan
    return X, Y


@pytest.mark.parametrize("likelihood", [None, btl.StudentT()])
def test_large_tables_are_summarised_on_a_card_as_here(table, likelihood, monkeypatch):
    monkeypatch.setattr(inducing, "FULL_LABELS", 50)
    monkeypatch.setattr(inducing, "INDUCING", 25)
    monkeypatch.setattr("bayestl.inference.gaussian.maximise.fit.__kwdefaults__", {**_defaults(), "max_iterations": 5})
    X, Y = table
    new, known = X.iloc[:4] + 0.01, Y.iloc[:4, :1]

    def said(device):
        model = btl.MultiTaskGP(tasks=[btl.Task("target", likelihood)], device=device, **FAST).fit(X, Y)
        assert not any(f.posterior.full for f in model.families_)
        post = model.posterior(new, observed=known)
        return [post.mean, post.std, post.sample(2, seed=0), model.complete().mean]

    here = said("cpu")
    with simulated_device():
        for a, b in zip(here, said("cuda"), strict=True):
            np.testing.assert_allclose(b, a, atol=1e-6)


def _defaults():
    from bayestl.inference.gaussian import maximise

    return maximise.fit.__kwdefaults__


def test_measurements_are_chosen_alike(table):
    X, Y = table
    pool = Pool(X, Y, Y.isna().to_numpy(), np.ones(2), list(Y))
    model = btl.MultiTaskGP(**FAST).fit(X, Y)
    here = knowledge(model, pool, Learn("target"))
    with simulated_device():
        there = btl.MultiTaskGP(device="cuda", **FAST).fit(X, Y)
        np.testing.assert_allclose(knowledge(there, pool, Learn("target")), here, rtol=1e-6)


def test_botorch_sees_the_points_it_gave(table):
    botorch = pytest.importorskip("bayestl.active.botorch")
    points = torch.rand(3, 2, 2, dtype=torch.float64, generator=torch_generator(0, "points"))
    post = botorch.as_botorch(btl.MultiTaskGP(**FAST).fit(*table)).posterior(points)
    with simulated_device():
        view = botorch.as_botorch(btl.MultiTaskGP(device="cuda", **FAST).fit(*table))
        for device in (CPU, DEVICE):
            there = view.posterior(points.to(device))
            assert there.mean.device == device
            np.testing.assert_allclose(to_numpy(there.mean), to_numpy(post.mean), atol=1e-6)
            np.testing.assert_allclose(to_numpy(there.variance), to_numpy(post.variance), atol=1e-6)


def test_default_models_compute_where_the_automatic_one_does(table):
    model = clone(btl.AutoTransfer(device="cuda"))
    models = model._candidates(build_table(*table)).values()
    assert len(models) > 3
    assert {m.device for m in models} == {"cuda"}


@pytest.mark.parametrize("make", [btl.IndependentGP, btl.MultiTaskGP, btl.DifferenceGP, btl.PairedDifferenceGP, btl.ChainGP,
                                  btl.LatentVariableGP, btl.AutoTransfer])  # fmt: skip
@pytest.mark.parametrize("device", ["gpu", "cuda"])
def test_every_model_says_so_before_it_fits(make, device, table, monkeypatch):
    with no_card(monkeypatch), pytest.raises(ValueError, match=r"^device"):
        make(device=device, verbose=False).fit(*table)


def test_a_device_is_not_in_a_file(table, tmp_path, monkeypatch):
    with simulated_device():
        btl.MultiTaskGP(device="cuda", **FAST).fit(*table).save(tmp_path / "model")
    with no_card(monkeypatch):
        assert btl.load(tmp_path / "model").device == "cpu"
        for device in ("cuda", "gpu"):
            with pytest.raises(ValueError, match=r"^device"):
                btl.load(tmp_path / "model", device=device)


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_commands_name_a_device(command, table, tmp_path, monkeypatch):
    for limit in ("SHORT_LABELS", "LAPLACE_LABELS"):
        monkeypatch.setattr(f"bayestl.models.exact.hyperparameters.{limit}", 0)
    data, model = tmp_path / "data.csv", tmp_path / "model"
    pd.concat(table, axis=1).iloc[:9].to_csv(data, index=False)
    fit = ["fit", data, "--tasks", "source,target", "--model", "independent", "-o", model, "-q"]
    run = {"fit": [*fit, "--force"], "predict": ["predict", model, data, "-o", tmp_path / "p.csv", "-q"]}[command]
    with simulated_device():
        assert CliRunner().invoke(app, [*map(str, fit)]).exit_code == 0
        assert CliRunner().invoke(app, [*map(str, run), "--device", "cuda"]).exit_code == 0
    out = CliRunner().invoke(app, [*map(str, run), "--device", "gpu"])
    assert out.exit_code == 1
    assert "device must be 'cpu'" in out.output


def test_a_model_that_computes_on_the_processor_refuses_a_card(table, tmp_path):
    pd.concat(table, axis=1).to_csv(tmp_path / "data.csv", index=False)
    fit = ["fit", tmp_path / "data.csv", "--tasks", "source,target", "--model", "low-rank", "-o", tmp_path / "model"]
    with simulated_device():
        out = CliRunner().invoke(app, [*map(str, fit), "--device", "cuda", "-q"])
    assert out.exit_code == 2
    assert "low-rank computes on the processor" in out.output
    assert not (tmp_path / "model").exists()
