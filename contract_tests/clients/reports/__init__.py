"""Reports of a verdict on a client: one module for each format, all behind FORMATS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from contract_tests.clients.reports import card, data, junit, markdown, page
from contract_tests.clients.reports.frame import Context
from contract_tests.clients.verdict import Verdict

__all__ = ["FORMATS", "Context", "Format"]

Format = Callable[[Verdict, Context], str]
"""Makes a verdict into text that ends with a newline."""

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "text": card.render,
        "json": data.render,
        "junit": junit.render,
        "markdown": markdown.render,
        "html": page.render,
    }
)
"""By the name that `--format` takes."""
