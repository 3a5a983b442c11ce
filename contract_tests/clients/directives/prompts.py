"""What may be wanted of a client: prompts in every script, files with odd names, several images at once."""

from __future__ import annotations

from contract_tests.clients.directives.base import Directive, Family, rule

_LONG = "a cat on a roof, 屋根の上の猫; "

_PROMPTS = {
    "emoji": "🐈‍⬛ and 👩🏽‍🚀 on 🌕",
    "Chinese": "屋顶上的一只猫，水墨画",
    "Arabic and Hebrew": "قطة على السطح, חתול על הגג",
    "quotes and backslashes": 'a "cat" and a \'dog\' \\ on C:\\new\\roof \\"',
    "line ends and tabs": "a cat\non a roof\r\nin the\train",
    "10 kB": (_LONG * 1000).encode()[:10240].decode(errors="ignore"),
    "blanks around it": "  a cat on a roof \t",
    "controls": "a cat\x01 on\x1b[31m a\x7f roof\u2028in\u0085the rain",
    "percent, plus and ampersand": "100% cat + dog & mode=flux1-pro; a%20b #1 ?",
    "templates": "{prompt} ${prompt} %s {{cat}} <cat/> $(cat)",
    "accents in two ways": "caf\u00e9 and cafe\u0301",
}

_FILENAMES = ("cat.png", "猫 🐈.png", "café.png", 'a "cat".png', "a cat; b=c.png", "100% cat.png")


def odd_prompts() -> list[Directive]:
    """Return prompts that get lost in careless hands."""
    return [Directive(f"prompt: {what}", Family.ODD_PROMPT, prompt=prompt) for what, prompt in _PROMPTS.items()]


def uploads() -> list[Directive]:
    """Return files to be edited, by their names."""
    return [Directive(f"edit: {name!r}", Family.UPLOAD, filename=name) for name in _FILENAMES]


def busy_uploads() -> list[Directive]:
    """Return uploads that are refused for now, and taken when they come again."""
    return [
        Directive(
            f"edit: {status} {times}",
            Family.BUSY_UPLOAD,
            (rule("edits", calls, status=status, headers={"Retry-After": "2"}),),
            filename="cat.png",
            harmless=False,
        )
        for status in (503, 429)
        for times, calls in (("once", 1), ("twice", {"first": 2}))
    ]


def at_once() -> list[Directive]:
    """Return several images that are wanted at the same time; who comes first is not who is done first."""
    backwards = tuple(
        {"on": "job", "job": number, "then": {"queue_seconds": 1, "run_seconds": seconds}}
        for number, seconds in ((1, 24), (2, 12), (3, 3))
    )
    return [
        Directive("3 images at once", Family.PARALLEL, at_once=3),
        Directive("3 images at once, the last is done first", Family.PARALLEL, backwards, at_once=3),
        Directive("12 images at once", Family.PARALLEL, at_once=12),
    ]


def in_turn() -> list[Directive]:
    """Return several images that are wanted one after another."""
    return [Directive("3 images, one after another", Family.IN_TURN, at_once=3)]
