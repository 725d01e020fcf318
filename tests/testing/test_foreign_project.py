"""Installed from its wheel, the project leaves other projects alone, whatever their own packages
are called.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.server

OWN_TEST = """
import importlib

def test_own_package_is_the_projects_own():
    assert importlib.import_module("PACKAGE").OWN
"""
TEST_WITH_HOST = """
import urllib.request

def test_host(fake_host):
    with urllib.request.urlopen(fake_host.url + "/", timeout=5) as response:
        assert response.status == 200
"""
COMMANDS = {"contract": ["list"], "fake_server": ["scenarios"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(folder),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder / "site")
    return folder / "site"


def project(folder: Path, package: str, tests: str) -> Path:
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("OWN = True\n")
    (folder / "test_project.py").write_text(tests.replace("PACKAGE", package))
    return folder


def run(folder: Path, site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder``, which comes first on ``sys.path``, as with ``python -m``."""
    path = os.pathsep.join([str(folder), str(site)])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


SLOW_PLUGINS = ("cacheprovider", "randomly", "schemathesis", "hypothesispytest", "xdist")
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-W",
    "error",
    *(part for name in SLOW_PLUGINS for part in ("-p", f"no:{name}")),
)


@pytest.mark.parametrize("package", ["contract", "wire"])
def test_fixture_works_beside_own_package(package: str, site: Path, tmp_path: Path) -> None:
    ended = run(project(tmp_path, package, OWN_TEST + TEST_WITH_HOST), site, *PYTEST)
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize("package", ["fake_server", "dify_wire"])
def test_fixture_that_is_hidden_says_by_what(package: str, site: Path, tmp_path: Path) -> None:
    ended = run(project(tmp_path, package, OWN_TEST + TEST_WITH_HOST), site, *PYTEST)
    assert "1 passed, 1 error" in ended.stdout, ended.stdout + ended.stderr
    assert (
        f"{tmp_path / package} hides the package {package} of fake-dify; rename it" in ended.stdout
    )
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize("package", ["contract", "fake_server", "dify_wire"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work_beside_own_package(
    command: str, package: str, site: Path, tmp_path: Path
) -> None:
    start = (
        f"import sys; sys.path.remove(''); from fake_dify.commands import {command} as main; main()"
    )
    ended = run(project(tmp_path, package, OWN_TEST), site, "-c", start, *COMMANDS[command])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_contract_plugin_is_loaded_where_it_is_named_alone(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    assert "--contract-url" not in run(tmp_path, site, *PYTEST, "--help").stdout
    assert (
        "--contract-url" in run(tmp_path, site, *PYTEST, "-p", "contract.plugin", "--help").stdout
    )
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["contract.plugin"]\n')
    assert "--contract-url" in run(tmp_path, site, *PYTEST, "--help").stdout


def test_distribution_can_be_imported_by_its_name(site: Path, tmp_path: Path) -> None:
    program = (
        "import fake_dify, fake_server.testing as t; assert fake_dify.FakeHost is t.FakeHost; "
    )
    program += "import fake_server; assert all(getattr(fake_dify, n) for n in fake_dify.__all__); print(fake_dify)"
    ended = run(tmp_path, site, "-c", program)
    assert str(site) in ended.stdout, ended.stderr
