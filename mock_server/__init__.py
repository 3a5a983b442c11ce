"""fluxmock: an emulator of the TTAPI Flux image API.

`serve()` runs it in a thread, `create_app()` builds the Flask application, `Settings.of()` says how it behaves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mock_server._version import __version__

if TYPE_CHECKING:
    from mock_server.app import create_app
    from mock_server.control import TenantControl
    from mock_server.errors import FluxmockError, IllegalTransition, SettingsError, UnknownJob
    from mock_server.hooks.deliverer import RecordingDeliverer
    from mock_server.model import Account, DeliveryState, JobState, Receipt
    from mock_server.serving import Server, serve
    from mock_server.settings import Settings

_HOMES = {
    "Account": "model",
    "DeliveryState": "model",
    "JobState": "model",
    "Receipt": "model",
    "RecordingDeliverer": "hooks.deliverer",
    "create_app": "app",
    "TenantControl": "control",
    "FluxmockError": "errors",
    "IllegalTransition": "errors",
    "SettingsError": "errors",
    "UnknownJob": "errors",
    "Server": "serving",
    "serve": "serving",
    "Settings": "settings",
}

__all__ = [
    "Account",
    "DeliveryState",
    "FluxmockError",
    "IllegalTransition",
    "JobState",
    "Receipt",
    "RecordingDeliverer",
    "Server",
    "Settings",
    "SettingsError",
    "TenantControl",
    "UnknownJob",
    "__version__",
    "create_app",
    "serve",
]


def __getattr__(name: str) -> Any:
    # Flask takes 100 ms to import: who only wants Settings, or the version, does not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
