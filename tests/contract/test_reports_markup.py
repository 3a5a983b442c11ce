"""Reports in Markdown and HTML: they show what was recorded, and take none of it as markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from drawn_reports import contexts, finding, report, reports
from hypothesis import given
from markdown_it import MarkdownIt

from contract_tests.checker import Report
from contract_tests.exchanges import Place, Trouble
from contract_tests.reports import FORMATS, Context
from contract_tests.reports.masking import shown

# ---------------------------------------------------------------------------------------------------------- markdown


@given(found=reports, context=contexts)
def test_markdown_is_a_table_in_which_nothing_recorded_is_markup(found: Report, context: Context) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(FORMATS["markdown"](found, context))
    rows = [index for index, it in enumerate(tokens) if it.type == "tr_open"]
    assert len(rows) == (len(found.findings) + 1 if found.findings else 0)
    assert sum(it.type == "td_open" for it in tokens) == 6 * max(0, len(rows) - 1)
    blocks = {it.type.removesuffix("_open").removesuffix("_close") for it in tokens}
    assert blocks <= {
        "paragraph", "inline", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item",
    }  # fmt: skip
    children = [child for it in tokens for child in it.children or []]
    assert {it.type for it in children} <= {"text", "code_inline", "html_inline", "strong_open", "strong_close"}
    assert {it.content for it in children if it.type == "html_inline"} <= {"<br>", "<code>", "</code>"}


def test_markdown_shows_pipes_and_backticks_as_they_are() -> None:
    text = FORMATS["markdown"](report(finding(message="got `a|b` @someone")), Context())
    assert "<code>got &#96;a&#124;b&#96; &#64;someone</code>" in text


def test_markdown_fits_into_a_comment() -> None:
    found = [finding(pointer=f"/{number}", message="|" * 200) for number in range(2_000)]
    troubles = tuple(Trouble(Place("a", 1), "|" * 5_000) for _ in range(500))
    text = FORMATS["markdown"](report(*found, troubles=troubles), Context())
    assert len(text) < 65_536
    assert "more | | |" in text
    assert text.endswith("- and 480 more\n")


# -------------------------------------------------------------------------------------------------------------- html


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@given(found=reports, context=contexts)
def test_html_shows_what_was_recorded_and_takes_none_of_it_as_markup(found: Report, context: Context) -> None:
    page = _Page(FORMATS["html"](found, context))
    assert page.open == []
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "ul", "li", "code", "table",
        "caption", "thead", "tbody", "tr", "th", "td", "br", "span",
    }  # fmt: skip
    assert page.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope"}
    assert page.tags.count("td") == 5 * len(found.findings)
    shown_text = "\n".join(page.text)
    assert all(shown(it.why) in shown_text for it in found.troubles)


def test_html_needs_nothing_from_elsewhere() -> None:
    page = FORMATS["html"](report(finding()), Context())
    assert not re.search(r"\b(src|href)=|url\(|@import|<script", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
