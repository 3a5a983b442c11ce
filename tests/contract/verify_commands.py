"""`fluxmock verify` in a process of its own, and what it meets: scenarios of drift, and an id of no job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from mock_server import resources

UNKNOWN = "bf165abb-a7fa-4c77-a2e4-138baac1130d"
DRIFT = resources.folder("fixtures") / "scenarios" / "drift"


def fluxmock(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mock_server", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
