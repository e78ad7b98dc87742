"""Pictures and reports: self-contained HTML files of a comparison or of a fitted model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Section": "html",
    "write": "html",
    "comparison_sections": "comparison",
    "conclusion_as_text": "words",
    "model_sections": "model",
    "write_model_report": "model",
}

__all__ = [
    "Section",
    "comparison_sections",
    "conclusion_as_text",
    "model_sections",
    "plots",
    "write",
    "write_model_report",
]

if TYPE_CHECKING:
    from bayestl.report import plots
    from bayestl.report.comparison import comparison_sections
    from bayestl.report.html import Section, write
    from bayestl.report.model import model_sections, write_model_report
    from bayestl.report.words import conclusion_as_text


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("bayestl.report.plots")
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayestl.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bayestl.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
