"""The pytest plugin: each check a test, run against a host of the tests' own."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator

import pytest

import contract.checks
from tests.contract import samples
from tests.contract.hosts import answer, dify_at_first, host, refused_address, saying
from tests.contract.samples import KEY
from tests.serving import ROOT

pytestmark = pytest.mark.server

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract.checks, "CHECKS", samples.EVERY_END)
    monkeypatch.delenv("CONTRACT_API_KEY", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def page() -> Iterator[str]:
    with host(dify_at_first(saying(answer(b"{}", "200 OK", "text/html")), times=math.inf)) as url:
        yield url


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    plugins = ("-p", "contract.plugin", "-p", "no:randomly", "-p", "no:cacheprovider")
    return pytester.runpytest_inprocess(*plugins, "-rA", *arguments)


def test_each_check_is_a_test_and_ends_as_its_verdict(pytester: pytest.Pytester, page: str) -> None:
    ended = run(pytester, "--contract-url", page, "--contract-key", KEY)
    ended.assert_outcomes(passed=1, failed=3, skipped=1, xfailed=1)
    ended.stdout.fnmatch_lines_random(
        [
            "PASSED contract::answer_is_200",
            "FAILED contract::answer_is_json*",
            "SKIPPED *needs the host's SECRET_KEY*",
            "XFAIL contract::host_is_of_today*deployment difference*",
            "FAILED contract::evidence_is_missing*",
        ]
    )


def test_failure_is_the_explanation_alone(pytester: pytest.Pytester, page: str) -> None:
    ended = run(pytester, "--contract-url", page, "--contract-key", KEY, "-k", "answer_is_json")
    ended.assert_outcomes(failed=1, deselected=5)
    ended.stdout.fnmatch_lines(
        ["expected: JSON", "got:      text/html", "written:  FACTS 0 (host)", "GET /v1/ → 200"]
    )
    ended.stdout.no_fnmatch_line("*Traceback*")
    ended.stdout.no_fnmatch_line(f"*{KEY}*")


def test_secret_and_app_keys_are_capabilities(
    pytester: pytest.Pytester, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTRACT_API_KEY", KEY)
    flags = ["--contract-secret", "s3cret", "--contract-app", "k=chat"]
    run(pytester, "--contract-url", f"{page}/v1", *flags, "-k", "secret_is_good").assert_outcomes(
        passed=1, deselected=5
    )


def test_own_tests_run_beside_it_and_the_marker_tells_them_apart(
    pytester: pytest.Pytester, page: str
) -> None:
    pytester.makepyfile("def test_of_mine(): pass")
    flags = ["--contract-url", page, "--contract-key", KEY, "--strict-markers"]
    run(pytester, *flags, "-m", "not contract").assert_outcomes(passed=1, deselected=6)
    run(pytester, *flags, "-m", "contract").assert_outcomes(
        passed=1, failed=3, skipped=1, xfailed=1, deselected=1
    )


def test_without_an_address_it_does_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_of_mine(): pass")
    run(pytester).assert_outcomes(passed=1)


def test_without_an_address_it_imports_nothing_heavy() -> None:
    heavy = {
        "click",
        "h11",
        "rich",
        "jinja2",
        "schemathesis",
        "hypothesis",
        "contract.runner",
        "contract.checks",
    }
    program = "import sys, pytest; before = set(sys.modules); import contract.plugin; "
    program += f"print((set(sys.modules) - before) & {heavy})"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ((), "needs --contract-key"),
        (("--contract-key", KEY, "--contract-app", "k=magic"), "KEY=KIND"),
        (("--contract-key", KEY, "-n", "2"), "--dist loadgroup"),
        (("--contract-key", KEY, "--contract-host-version", "0.7"), "nearest older one is 0.6.9"),
        (("--contract-key", KEY, "--contract-inputs", "no-file.json"), "no-file.json"),
    ],
)
def test_bad_options_are_errors_before_any_request(
    arguments: tuple[str, ...], reported: str, pytester: pytest.Pytester
) -> None:
    ended = run(pytester, "--contract-url", refused_address(), *arguments)
    assert ended.ret is pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines([f"*{reported}*"])


def test_host_that_is_not_there_fails_each(pytester: pytest.Pytester) -> None:
    ended = run(pytester, "--contract-url", refused_address(), "--contract-key", KEY)
    ended.assert_outcomes(failed=6)
    ended.stdout.fnmatch_lines(["*could not be checked: no connection*"])
