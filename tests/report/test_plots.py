import html
import re

import numpy as np
import pandas as pd
import pytest

import bayestl as btl
from bayestl.report import plots
from bayestl.report.plots.axes import points, titled
from bayestl.report.svg import to_svg


@pytest.mark.parametrize(
    ("plot", "arguments", "words"),
    [
        ("plot_offsets", (btl.IndependentGP(),), "IndependentGP has no offsets"),
        ("plot_edge", (btl.AutoTransfer("y"),), "AutoTransfer has no edge_curves"),
        ("plot_levels", (btl.IndependentGP(),), "a column of numbers"),
        ("plot_held_out", (btl.IndependentGP(), "y"), "the columns y, high, mean, std"),
        ("plot_held_out", (pd.DataFrame({"y": [1.0]}), "y"), "the columns y, high, mean, std"),
        ("plot_learning_curve", (btl.IndependentGP(),), "the columns n, model, mae"),
        ("plot_transfer", (pd.DataFrame({"source": ["a"]}),), "the columns source, target, strength, se, directed"),
    ],
)
def test_a_plot_of_something_else_is_refused_in_words(plot, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(btl.plots, plot)(*arguments)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_transfer_is_drawn_as_sure_as_it_is(n):
    names = [f"task {i}" for i in range(n)]
    strengths = [3.0 * (-1) ** i for i in range(n)]
    links = pd.DataFrame({"source": names, "target": names[1:] + names[:1], "strength": strengths, "directed": True})
    ax = btl.plots.plot_transfer(links.assign(se=[1.0] * (n - 1) + [2.0]))
    styles = [a.arrow_patch.get_linestyle() for a in ax.texts if getattr(a, "arrow_patch", None) is not None]
    assert len(styles) == n
    assert [style == "-" for style in styles] == [True] * (n - 1) + [False]
    written = [text.get_text() for text in ax.texts]
    assert set(names) <= set(written)
    assert "3.0 ± 1.0" in written


def test_a_figure_becomes_an_element_of_the_page():
    ax = plots.new_axes(None)
    told = ['a <b> & "c"', "gone", "d'", "\"e' "]
    points(ax, [0.0, 1.0, 2.0, 3.0], [0.0, np.nan, 1.0, 2.0], told, color="C0", label="points")
    shown = to_svg(titled(ax, "title"))
    assert shown.startswith("<svg")
    assert [html.unescape(t) for t in re.findall('data-tip="([^"]*)"', shown)] == [t for t in told if t != "gone"]
    assert "gone" not in shown
    assert "<title>a &lt;b&gt; &amp; &quot;c&quot;</title>" in shown
    assert "#000000" not in shown  # in the colour of the page's text
    assert 'xlink:href="a' not in shown
    assert not re.findall(r' id="\w+_\d+"', shown)
