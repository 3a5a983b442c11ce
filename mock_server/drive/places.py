"""Where the stand-ins are put: wherever a loaded module holds one of the real things, the user's own also deeper down.

To enter and leave a block costs little, since a module is looked through only once, and its places are remembered.
"""

from __future__ import annotations

import copyreg
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, cast

from mock_server.drive.holders import Holder, holders_in
from mock_server.drive.ownership import is_own_module
from mock_server.drive.standins import FIXED, PAIRS, PICKLED, Fixed, Pair

_DICT: Any = ModuleType.__dict__["__dict__"]  # type: ignore[index]


_OURS = frozenset({"mock_server", "contract_tests"})


class _Place(NamedTuple):
    module: weakref.ref[ModuleType]
    name: str
    pair: Pair


def _namespace(module: ModuleType) -> dict[str, Any]:
    # Not vars(): a kind of module that loads what it holds when that is looked at may have its own idea of that.
    return cast("dict[str, Any]", _DICT.__get__(module))


class StandIns:
    """
    The stand-ins in all loaded modules, from the first `put` to the last `take_back`.

    Args:
        pairs: to be put wherever a module holds the real thing.
        fixed: to be put in one place each: owner and name.
        pickled: how to pickle what is real while there are stand-ins.
    """

    def __init__(self, pairs: Sequence[Pair], fixed: Sequence[Fixed], pickled: Mapping[type, Any]) -> None:
        self._fixed = fixed
        self._pickled = pickled
        self._lock = threading.Lock()
        self._users = 0
        self._by_id = {id(thing): pair for pair in pairs for thing in pair}
        self._seen: dict[str, weakref.ref[ModuleType]] = {}
        self._places: list[_Place] = []
        self._holders: list[Holder] = []

    def put(self) -> None:
        """Put them wherever a module holds the real thing."""
        with self._lock:
            self._find_new()
            if self._users == 0:
                self._places = [place for place in self._places if place.module() is not None]
                self._holders = [holder for holder in self._holders if holder.owner() is not None]
                for kind, reduced in self._pickled.items():
                    copyreg.dispatch_table.setdefault(kind, reduced)  # the user may have an entry of his own
                for owner, name, pair in self._fixed:
                    _swap(owner, name, pair.real, pair.stand_in)
            self._users += 1
            for namespace, name, pair in self._living_places():
                if namespace.get(name) is pair.real:
                    namespace[name] = pair.stand_in
            for holder in self._holders:
                holder.put()

    def take_back(self) -> None:
        """Put the real things back, also in modules that were imported meanwhile, unless others still use them."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            self._find_new()
            for namespace, name, pair in self._living_places():
                if namespace.get(name) is pair.stand_in:
                    namespace[name] = pair.real
            for holder in self._holders:
                holder.take_back()
            for owner, name, pair in self._fixed:
                _swap(owner, name, pair.stand_in, pair.real)
            for kind, reduced in self._pickled.items():
                if copyreg.dispatch_table.get(kind) is reduced:
                    del copyreg.dispatch_table[kind]

    def _living_places(self) -> Iterator[tuple[dict[str, Any], str, Pair]]:
        for place in self._places:
            module = place.module()
            if module is not None:
                yield _namespace(module), place.name, place.pair

    def _find_new(self) -> None:
        """Look through the modules that were not there the last time."""
        for key, module in list(sys.modules.items()):
            seen = self._seen.get(key)
            if (seen is not None and seen() is module) or not isinstance(module, ModuleType):
                continue
            namespace = _namespace(module)
            if not getattr(namespace.get("__spec__"), "_initializing", False):  # else there is more to come
                self._seen[key] = weakref.ref(module)
            if key.partition(".")[0] not in _OURS:  # which always have real time, and the real things here
                self._places += self._found_in(module, namespace)
                if is_own_module(key, module):
                    self._holders += holders_in(key, list(namespace.values()), self._pair_of)

    def _pair_of(self, thing: object) -> Pair | None:
        return self._by_id.get(id(thing))

    def _found_in(self, module: ModuleType, namespace: dict[str, Any]) -> Iterator[_Place]:
        for name, value in list(namespace.items()):
            pair = self._pair_of(value)
            if pair is not None:
                yield _Place(weakref.ref(module), name, pair)


def _swap(owner: Any, name: str, old: Any, new: Any) -> None:
    if vars(owner).get(name) is old:
        setattr(owner, name, new)


STAND_INS = StandIns(PAIRS, FIXED, PICKLED)
