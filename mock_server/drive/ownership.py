"""Which code is the user's own: neither the standard library, nor installed, nor ours."""

from __future__ import annotations

import sysconfig
from functools import lru_cache
from pathlib import Path
from types import ModuleType

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_LIBRARIES = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})
_OURS = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Return whether the code in `file` is the user's own."""
    if file.startswith("<frozen"):
        return False
    path = Path(file)
    if not _INSTALLED.isdisjoint(path.parts):
        return False
    path = path.resolve()
    return not any(path.is_relative_to(library) for library in (*_LIBRARIES, _OURS))


def is_own_module(name: str, module: ModuleType) -> bool:
    """Return whether `module` is the user's own: the one that was started is, although it may have no file."""
    file = getattr(module, "__file__", None)
    return is_own(file) if isinstance(file, str) else name == "__main__"
