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

from tests.tools import QUICK

pytestmark = pytest.mark.server

OWN_TEST = """
import importlib

def test_own_package_is_the_projects_own():
    for name in PACKAGES:
        assert importlib.import_module(name).OWN

def test_contract_plugin_is_not_loaded(pytestconfig):
    assert not pytestconfig.pluginmanager.hasplugin("contract.plugin")
"""
TEST_WITH_HOST = """
import urllib.request

def test_host(fake_host):
    with urllib.request.urlopen(fake_host.url + "/", timeout=5) as response:
        assert response.status == 200
"""


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def project(folder: Path, tests: str, *packages: str) -> Path:
    for package in packages:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("OWN = True\n")
    (folder / "test_project.py").write_text(f"PACKAGES = {packages!r}\n{tests}")
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


PYTEST = ("-m", "pytest", "-q", "-W", "error", *QUICK)


def test_fixture_works_beside_own_packages(site: Path, tmp_path: Path) -> None:
    ended = run(project(tmp_path, OWN_TEST + TEST_WITH_HOST, "contract", "wire"), site, *PYTEST)
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize("package", ["fake_server", "dify_wire"])
def test_fixture_that_is_hidden_says_by_what(package: str, site: Path, tmp_path: Path) -> None:
    ended = run(project(tmp_path, OWN_TEST + TEST_WITH_HOST, package), site, *PYTEST)
    assert "2 passed, 1 error" in ended.stdout, ended.stdout + ended.stderr
    assert (
        f"{tmp_path / package} hides the package {package} of fake-dify; rename it" in ended.stdout
    )
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize("command", ["contract", "fake_server"])
def test_commands_work_beside_own_packages(command: str, site: Path, tmp_path: Path) -> None:
    folder = project(tmp_path, OWN_TEST, "contract", "fake_server", "dify_wire")
    start = (
        f"import sys; sys.path.remove(''); from fake_dify.commands import {command}; {command}()"
    )
    argument = {"contract": "list", "fake_server": "scenarios"}[command]
    ended = run(folder, site, "-c", start, argument)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_contract_plugin_is_loaded_where_it_is_named(site: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["contract.plugin"]\n')
    assert "--contract-url" in run(tmp_path, site, *PYTEST, "--help").stdout


def test_distribution_can_be_imported_by_its_name(site: Path, tmp_path: Path) -> None:
    program = (
        "import fake_dify, fake_server.testing as t; assert fake_dify.FakeHost is t.FakeHost; "
        "assert all(getattr(fake_dify, n) for n in fake_dify.__all__); print(fake_dify)"
    )
    ended = run(tmp_path, site, "-c", program)
    assert str(site) in ended.stdout, ended.stderr
