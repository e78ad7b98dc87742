import numpy as np
import pandas as pd
import pytest
from support.auto import QUICK, quick_auto

import bayestl as btl
from bayestl.active import Campaign, Maximise, as_botorch


@pytest.fixture(scope="module")
def pool():
    """Candidates with calculations of half of them, and measurements of a few of these."""
    x = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (30, 2)), columns=["a", "b"])
    dft = np.sin(3 * x["a"]) + x["b"]
    Y = pd.DataFrame({"dft": dft, "measured": 1.1 * dft + 0.3})
    Y.iloc[15:, 0] = np.nan
    Y.iloc[6:, 1] = np.nan
    return x, Y


@pytest.mark.parametrize("model", [quick_auto(), btl.ChainGP(["dft", "measured"], inputs=None, **QUICK, verbose=False)])
def test_a_campaign_with_a_model_that_is_not_exact(pool, model, tmp_path):
    x, Y = pool
    campaign = Campaign(
        x, [btl.Task("dft"), btl.Task("measured")], Maximise("measured"), model, tmp_path / "c.db", verbose=False
    )
    campaign.tell(Y)
    wanted = campaign.suggest(2)  # of rows of which some are measured already
    assert len(wanted) == 2
    assert wanted["predicted"].notna().all()
    assert type(Campaign.open(tmp_path / "c.db").model) is type(model)


def test_what_needs_an_exact_model_says_so(pool):
    x, Y = pool
    with pytest.raises(ValueError, match="AutoTransfer has no BoTorch form"):
        as_botorch(quick_auto().fit(x, Y))
