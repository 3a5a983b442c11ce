"""Where a module of the user's own keeps a function of the clock, besides its own names.

That is in its functions (defaults of arguments, names of the enclosing function, as decorators leave them behind) and
in its classes (attributes, methods, properties).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

from mock_server.drive.standins import Pair

Find = Callable[[object], Pair | None]
"""Returns the pair that something belongs to."""


class Holder(NamedTuple):
    """
    One thing that is kept by a function or a class.

    Args:
        owner: the function or class.
        key: in a function, the number of a positional default or, as `("cell", number)`, of an enclosing name, or the
            name of a keyword; in a class, the name of an attribute.
        real: what is kept there outside blocks: the real thing, or a staticmethod of it.
        stand_in: what is to be kept there inside.
    """

    owner: weakref.ref[Any]
    key: Any
    real: object
    stand_in: object

    def put(self) -> None:
        """Let the stand-in be kept, if it is the real thing now."""
        self._swap(self.real, self.stand_in)

    def take_back(self) -> None:
        """Let the real thing be kept, if it is the stand-in now."""
        self._swap(self.stand_in, self.real)

    def _swap(self, old: object, new: object) -> None:
        owner, key = self.owner(), self.key
        if isinstance(owner, type):
            if vars(owner).get(key) is old:
                type.__setattr__(owner, key, new)
        elif not isinstance(owner, FunctionType):
            pass  # it is gone
        elif isinstance(key, int):
            defaults = list(owner.__defaults__ or ())
            if key < len(defaults) and defaults[key] is old:
                defaults[key] = new
                owner.__defaults__ = tuple(defaults)
        elif isinstance(key, tuple):
            cell = (owner.__closure__ or ())[key[1]]
            if _content(cell) is old:
                cell.cell_contents = new
        elif (keywords := owner.__kwdefaults__ or {}).get(key) is old:
            keywords[key] = new


def holders_in(name: str, things: Iterable[object], find: Find) -> Iterator[Holder]:
    """Find them in the functions and classes among `things`, which are what the module `name` holds."""
    return _Search(name, find).through(things)


class _Search:
    def __init__(self, module: str, find: Find) -> None:
        self._module = module
        self._find = find
        self._seen: set[int] = set()

    def through(self, things: Iterable[object]) -> Iterator[Holder]:
        for thing in things:
            if isinstance(thing, staticmethod | classmethod):
                thing = thing.__func__  # noqa: PLW2901
            if id(thing) in self._seen:
                continue
            self._seen.add(id(thing))
            if isinstance(thing, FunctionType):
                yield from self._in_function(thing)
            elif isinstance(thing, property):
                yield from self.through((thing.fget, thing.fset, thing.fdel))
            elif isinstance(thing, type) and thing.__module__ == self._module:
                yield from self._in_class(thing)

    def _in_function(self, function: FunctionType) -> Iterator[Holder]:
        cells = [_content(cell) for cell in function.__closure__ or ()]
        places = [
            *enumerate(function.__defaults__ or ()),
            *(function.__kwdefaults__ or {}).items(),
            *((("cell", number), content) for number, content in enumerate(cells)),
        ]
        for key, value in places:
            pair = self._find(value)
            if pair is not None:
                yield Holder(weakref.ref(function), key, *pair)
        yield from self.through(content for content in cells if isinstance(content, FunctionType))

    def _in_class(self, kind: type) -> Iterator[Holder]:
        attributes = dict(vars(kind))
        for name, value in attributes.items():
            pair = self._find(value)
            if pair is None and isinstance(value, staticmethod):
                inner = self._find(value.__func__)
                pair = inner and Pair(*(value if thing is value.__func__ else staticmethod(thing) for thing in inner))
            if pair is not None:
                yield Holder(weakref.ref(kind), name, *pair)
        yield from self.through(attributes.values())


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it has not been given a value yet
        return None
