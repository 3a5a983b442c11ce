"""Reports of a check: one module for each format, all behind FORMATS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from contract_tests.checker import Report
from contract_tests.reports import data, github, junit, markdown, page, sarif, text
from contract_tests.reports.frame import Context, Verdict, verdict_of
from contract_tests.reports.masking import encodable, masked, shown, visible

__all__ = ["FORMATS", "Context", "Format", "Verdict", "verdict_of"]

Format = Callable[[Report, Context], str]
"""Makes a report into text. It has no secrets of the recording in it, and ends with a newline."""


def _exact(render: Format) -> Format:
    def made(report: Report, context: Context) -> str:
        return render(masked(report), replace(context, title=encodable(context.title)))

    return made


def _seen(render: Format) -> Format:
    def made(report: Report, context: Context) -> str:
        return render(visible(masked(report)), replace(context, title=shown(encodable(context.title))))

    return made


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "text": _seen(text.render),
        "json": _exact(data.render),
        "junit": _seen(junit.render),
        "sarif": _exact(sarif.render),
        "markdown": _seen(markdown.render),
        "github": _seen(github.render),
        "html": _seen(page.render),
    }
)
"""By the name that `--format` takes. None gives away secrets of a recording, or passes on its control characters."""
