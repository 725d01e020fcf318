"""A host is compared with the profile of its own version, or of the one that was asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from contract.check import Level
from contract.checks import CHECKS
from contract.offline import capabilities_from, check_recordings, load_keys
from contract.result import Result, Status
from dify_wire.profile import HOST_VERSIONS, Basis
from tests.contract.verdicts import APP_KEYS, SECRET, fake_options
from tests.serving import ROOT, running_server

RECORDED = [
    version for version in HOST_VERSIONS[::-1] if (ROOT / f"recordings/dify-{version}").exists()
]
NEIGHBOURS = list(pairwise(RECORDED))
FINE = (Status.PASSED, Status.SKIPPED)


@cache
def results(version: str, basis: str) -> Mapping[str, Result]:
    """The results of all checks on the recordings of ``version``, compared with ``basis``."""
    folder = ROOT / f"recordings/dify-{version}"
    capabilities = capabilities_from(load_keys(folder / "keys.json"), basis)
    found = check_recordings(folder, capabilities, CHECKS.values())
    return {one.result.name: one.result for one in found}


# Which profile


@pytest.mark.parametrize(
    ("stated", "given", "version", "is_exact", "words"),
    [
        ("1.14.2", None, "1.14.2", True, "compared with Dify 1.14.2, which the host says it is"),
        ("1.13.9", None, "1.13.3", False, "the nearest older recorded version: 1.13.9 was not"),
        ("0.6.5", None, "0.6.4", False, "the nearest older recorded version: 0.6.5 was not"),
        ("2.0.0-rc1", None, HOST_VERSIONS[0], False, "2.0.0-rc1 was not recorded"),
        ("0.1", None, HOST_VERSIONS[-1], False, "0.1 was not recorded"),
        ("", None, "0.6.4", False, "the reference: the host states no version"),
        ("main", None, "0.6.4", False, "main was not recorded"),
        ("1.14.2", "0.6.4", "0.6.4", True, "compared with Dify 0.6.4 (--host-version)"),
    ],
)
def test_basis_is_the_stated_version_the_nearest_older_or_the_given_one(
    stated: str, given: str | None, version: str, is_exact: bool, words: str
) -> None:
    basis = Basis(stated, given)
    assert (basis.version, basis.is_exact) == (version, is_exact)
    assert words in basis.sentence


# Recordings


@pytest.mark.server
@pytest.mark.parametrize("version", RECORDED)
def test_recorded_host_of_each_version_meets_no_false_alarm(version: str) -> None:
    found = results(version, version)
    assert {name: one.reason for name, one in found.items() if one.status not in FINE} == {}
    assert Counter(one.status for one in found.values())[Status.PASSED] > 200


@pytest.mark.server
@pytest.mark.parametrize(("version", "basis"), NEIGHBOURS)
def test_recorded_host_fails_as_its_neighbour(version: str, basis: str) -> None:
    """The differences are named: what the other version has, and whose way this is."""
    failed = [one for one in results(version, basis).values() if one.status is Status.FAILED]
    of_versions = [one for one in failed if one.level is Level.VERSION]
    assert of_versions, (version, basis)
    assert all(f"as {basis} has it" in one.expected for one in of_versions)
    assert any(one.why.endswith(f"as {version} has it") for one in of_versions) or failed


# A run


@pytest.mark.server
@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_fake_of_each_version_meets_no_false_alarm_and_fails_as_another(
    version: str, tmp_path: Path
) -> None:
    from contract.cli import exit_code

    report = tmp_path / "report.json"
    other = HOST_VERSIONS[HOST_VERSIONS.index(version) - 1]  # the next newer; of the newest, 0.6.3
    options = [*fake_options(), "--speed=instant", "--host-version", version]
    with running_server(*options) as server:
        run = ["run", "--base-url", server.url, "--api-key", server.api_key, "--json", str(report)]
        run += [*(f"--app={key}={kind}" for kind, key in APP_KEYS.items()), "--skip", "generated_*"]
        assert exit_code(run) == 0, report.read_text()
        assert exit_code([*run, "--host-version", other]) == 1
    failed = [one for one in json.loads(report.read_text())["checks"] if one["status"] == "failed"]
    assert any(f"as {other} has it" in one["expected"] for one in failed)


@pytest.mark.server
def test_report_says_which_profile_it_was(tmp_path: Path) -> None:
    from contract.cli import exit_code

    report = tmp_path / "report.json"
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    options = [*fake_options(), "--speed=instant", "--host-version", "1.14.2"]
    with running_server(*options) as server:
        run = ["run", "--base-url", server.url, "--api-key", server.api_key, *apps]
        run += ["--secret-key", SECRET, "--json", str(report), "--skip", "generated_*"]
        assert exit_code(run) == 0
        reported = json.loads(report.read_text())
        assert reported["compared_with"] == reported["host_version"] == "1.14.2"
        assert exit_code([*run, "--host-version", "0.6"]) == 1
    reported = json.loads(report.read_text())
    assert (reported["compared_with"], reported["host_version"]) == ("0.6.9", "1.14.2")
    assert reported["basis"] == "compared with Dify 0.6.9 (--host-version)"
    differing = [one for one in reported["checks"] if one["status"] == "failed"]
    assert any("as 1.14.2 has it" in one["why"] for one in differing)


@pytest.mark.parametrize(
    ("version", "words"), [("0.7", "the nearest older one is 0.6.9"), ("dev", "'dev' is unknown")]
)
def test_version_that_was_not_recorded_is_refused(
    version: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from contract.cli import exit_code

    run = ["run", "--base-url", "http://127.0.0.1:1", "--api-key", "app-x"]
    assert exit_code([*run, "--host-version", version]) == 2
    error = " ".join(capfd.readouterr().err.split())
    assert words in error
    assert "1.14.2" in error
