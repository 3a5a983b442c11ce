"""The built wheel is complete, and puts nothing but its two packages at the top of site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=120, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_installs_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mock_server", "contract_tests"}
    schemas = {str(path.relative_to(ROOT)) for path in (ROOT / "schemas").rglob("*.json")}
    assert {name.removeprefix("mock_server/_packed/") for name in names if "_packed/schemas" in name} == schemas
    assert "mock_server/py.typed" in names
    assert "contract_tests/py.typed" in names


def test_the_emulator_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A folder of the user's own that has our kit's name must not matter to the emulator.
    (tmp_path / "contract_tests").mkdir()
    (tmp_path / "contract_tests" / "__init__.py").write_text("raise RuntimeError('not this one')")
    env = {**os.environ, "PYTHONPATH": str(site)}
    code = "import mock_server, mock_server.resources as r; print(mock_server.__file__, r.folder('schemas'))"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert where.stdout.split() == [str(site / "mock_server/__init__.py"), str(site / "mock_server/_packed/schemas")]
    demo = subprocess.run(
        [sys.executable, "-m", "mock_server", "demo", "--clock", "auto"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
    assert "would have charged 2 quota" in demo.stdout


def test_importing_the_package_is_light() -> None:
    code = "import sys, mock_server; print([name for name in ('flask', 'PIL', 'jsonschema_rs', 'rich') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert loaded.strip() == "[]"
