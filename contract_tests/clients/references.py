"""Finds a client by its name: `my_module:generate`, or `path/to/file.py:generate`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mock_server.errors import SettingsError


def find(reference: str, root: Path | None = None) -> Any:
    """
    Return what a reference names: a client, or the application that receives its webhooks.

    Args:
        reference: a module or the path of a file, a colon, and a name in it, which may have dots.
        root: the folder that paths begin at, and in which modules are looked for, too; the current one by default.

    Raises:
        SettingsError: there is no such thing; the text says what was expected.
    """
    root = Path.cwd() if root is None else root.resolve()
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        raise SettingsError(f"expected MODULE:NAME or FILE.py:NAME, such as my_module:generate; got {reference!r}")
    is_file = place.endswith(".py") or "/" in place
    found: Any = _file(root / place, reference) if is_file else _module(place, root, reference)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            has = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise SettingsError(
                f"{reference}: expected {part!r} in {place}, got none; there are {', '.join(has[:20]) or 'no names'}"
            ) from None
    return found


def _module(name: str, root: Path, reference: str) -> ModuleType:
    _see(root)
    try:
        spec = importlib.util.find_spec(name)
        loaded = _loaded(Path(spec.origin).resolve()) if spec is not None and spec.origin else None
        return loaded or importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise SettingsError(
                f"{reference}: expected a module {name} in {root}, or one that is installed; got none"
            ) from None
        raise _broken(reference, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(reference, error) from error


def _file(path: Path, reference: str) -> ModuleType:
    if not path.is_file():
        raise SettingsError(f"{reference}: expected a file {path}, got none")
    path = path.resolve()
    _see(path.parent)
    loaded = _loaded(path)
    if loaded is not None:
        return loaded
    # A name of its own: two clients may well live in files that are called the same.
    name = f"{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{reference}: expected a file of Python, such as client.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(reference, error) from error
    return module


def _loaded(path: Path) -> ModuleType | None:
    """Return the module that was made of a file, by whatever name: a client and its receiver share what it keeps."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and file.endswith(path.name) and Path(file).resolve() == path:
            return module
    return None


def _see(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _broken(reference: str, error: BaseException) -> SettingsError:
    return SettingsError(f"{reference}: it cannot be imported: {type(error).__name__}: {error}")
