"""Matplotlib figures as SVG elements of a page: in the colours of its text, of its width, with points that tell their names."""

from __future__ import annotations

import io
import re
from typing import Any

from bayestl.report.plots.axes import WIDTH

_LINK = re.compile(r"""<a xlink:href=(?:"([^"]*)"|'([^']*)')[^>]*>""")
_NUMBERED = re.compile(r' id="[A-Za-z0-9]+_\d+"')


def to_svg(ax: Any) -> str:
    """The figure of the axes as an SVG element without ids of its own, black as the text's colour, links as hover texts."""
    import matplotlib

    figure, buffer = ax.figure, io.StringIO()
    figure.set_figwidth(WIDTH)
    with matplotlib.rc_context({"svg.hashsalt": "bayestl", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = _NUMBERED.sub("", text[text.index("<svg") :]).replace("#000000", "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _LINK.sub(_hover, text).replace("</a>", "</g>")


def _hover(link: re.Match[str]) -> str:
    told = (link[1] or link[2] or "").replace('"', "&quot;")
    return f'<g class="point" data-tip="{told}"><title>{told}</title>'
