import numpy as np
import pandas as pd
import pytest
from benchmarks import agreement, harm, recovery, speed

from bayestl.evaluation.comparison import Comparison
from bayestl.studies import choose, gap, no
from bayestl.studies.demo import KEPT_VOLUMES, VOLUME, compared, sparse_volumes, volume_models


def test_cancellation_is_the_ratio_of_spreads():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(4000)
    errors = {"N2": shared + 0.1 * rng.standard_normal(4000), "NO": shared}
    errors["N2 - NO"] = errors["N2"] - errors["NO"]
    predictions = pd.concat(
        pd.DataFrame({"model": "m", "fold": 0, "row": range(4000), "quantity": q, "y": e, "mean": 0.0})
        for q, e in errors.items()
    )
    scores = pd.DataFrame({"model": ["m"], "quantity": ["N2"], "fold": [0]})
    ratio = no.cancellation(Comparison(scores, predictions, "row"))
    assert ratio["m"] == pytest.approx(0.1 / np.sqrt(2.01), rel=0.1)


def test_the_protocol_runs_on_a_few_folds(data_folder):
    result = no.run(n_repeats=1, only=["independent"], verbose=False)
    assert set(result.comparison.quantities) == {"N2", "NO", "O2", "N2 - NO"}
    assert result.comparison.table.loc[("N2", "independent"), ("mae", "mean")] < 0.25
    with pytest.raises(ValueError, match="no such model"):
        no.run(only=["forest"], verbose=False)
    with pytest.raises(ValueError, match="split must be"):
        no.run(split="random", verbose=False)
    with pytest.raises(ValueError, match="variant must be cohesion, or left out, got 'metals'"):
        no.run(variant="metals", verbose=False)


def test_speed_tables_are_the_protocol():
    x, Y, fresh, truth = speed.table(40, 10)
    assert Y.notna().sum().tolist() == [40, 10]
    assert np.abs(Y["low"][:40] - speed.low(x[:40])).max() < 0.05 * 5
    np.testing.assert_allclose(truth, 1.2 * speed.low(fresh) + 0.5 * np.sin(3 * fresh[:, 4]) + 0.3)


def test_drawn_tables_repeat_from_their_seed():
    one, two = recovery.draw_table(3), recovery.draw_table(3)
    pd.testing.assert_frame_equal(one[1], two[1])
    assert one[3] == two[3]
    assert one[1].notna().sum().tolist() == [60, 30]


def test_the_demonstration_hides_measured_volumes():
    from bayestl.datasets import load_elements

    volumes = sparse_volumes(load_elements())
    assert volumes["measured_volume"].notna().sum() == KEPT_VOLUMES
    assert volumes["dft_volume"].notna().sum() == 95


def test_the_demonstration_compares_the_mixture_with_single_architectures():
    models = compared(volume_models([]), VOLUME[-1], [])
    assert list(models) == ["independent", "multi-task", "difference", "auto"]
    assert models["auto"].target == "measured_volume"


def test_the_curve_of_scarcity_is_summarised_and_written(tmp_path):
    rng = np.random.default_rng(0)
    records = pd.DataFrame(
        [
            {"n": n, "seed": seed, "model": model, "mae": error + 0.01 * rng.uniform(), "crps": 0.1, "nlpd": 0.2}
            for n in (50, 100)
            for seed in range(3)
            for model, error in (("independent", 0.6), ("chain", 0.3), ("difference", 0.15))
        ]
    )
    curve = gap.Curve(records)
    assert curve.summary["chain", "cut"].between(0.45, 0.55).all()
    assert curve.summary["difference", "cut"].between(0.7, 0.8).all()
    assert "independent" in str(curve)
    curve.write(tmp_path / "new")
    assert pd.read_csv(tmp_path / "new" / "gap-G2.csv").shape == records.shape
    assert (tmp_path / "new" / "gap-G2.png").stat().st_size > 5000


def test_models_are_chosen_by_name():
    assert list(choose({"a": 1, "b": 2}, None)) == ["a", "b"]
    assert list(choose({"a": 1, "b": 2}, ["b"])) == ["b"]
    with pytest.raises(ValueError, match="no such model 'c'"):
        choose({"a": 1}, ["a", "c"])


@pytest.mark.slow
def test_the_guide_agrees_with_the_sampler_on_activation_energies(data_folder):
    found = agreement.run(800, verbose=False).loc["all"]
    assert found["latent values"] == 122
    # 0.95 of them with 2000 states (docs/benchmarks.md); 800 have a Monte Carlo error of about 0.03 standard deviations
    assert found["mean close"] > 0.85
    assert found["spread close"] > 0.85


def test_bad_sources_follow_the_target_in_half_of_the_space():
    x, Y = harm.draw_table("half opposed", 0)
    assert Y.notna().sum().tolist() == [60, 30]
    right = x[:30, 0] > 0
    assert np.corrcoef(Y["source"][:30][right], Y["target"][:30][right])[0, 1] > 0.9
    assert np.corrcoef(Y["source"][:30][~right], Y["target"][:30][~right])[0, 1] < -0.9
    fresh, more = harm.draw_table("half opposed", 0, new=True)
    assert more.notna().to_numpy().all()
    assert not np.isin(fresh, x).any()


@pytest.mark.slow
def test_models_with_bad_sources_are_compared():
    found = harm.run(1, n_jobs=1, verbose=False)
    assert found.shape == (12, 8)
    assert found.loc[("helpful", "multi-task"), "mean gain"] > 0
    assert found["a new label"].notna().all()
    for kind in ("helpful", "noise", "half opposed"):
        gains = found.loc[kind, "a new label"]
        members = [*gains.drop(["stacked", "auto"]), 0.0]  # of "alone", to which the others are compared
        assert gains["stacked"] >= min(members)  # the logarithm of an average is at least the average logarithm
