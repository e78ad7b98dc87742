import pandas as pd
import pytest

import bayestl as btl


@pytest.mark.parametrize(
    ("plot", "arguments", "words"),
    [
        ("plot_offsets", (btl.IndependentGP(),), "IndependentGP has no offsets"),
        ("plot_edge", (btl.AutoTransfer("y"),), "AutoTransfer has no edge_curves"),
        ("plot_levels", (btl.IndependentGP(),), "a column of numbers"),
        ("plot_held_out", (btl.IndependentGP(), "y"), "the columns y, high, mean, std"),
        ("plot_held_out", (pd.DataFrame({"y": [1.0]}), "y"), "the columns y, high, mean, std"),
        ("plot_learning_curve", (btl.IndependentGP(),), "the columns n, model, mae"),
    ],
)
def test_a_plot_of_something_else_is_refused_in_words(plot, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(btl.plots, plot)(*arguments)
