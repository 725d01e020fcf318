"""pytest: every check as a test of its own, ``contract::<name>``, against the host that
``--contract-url`` names.

It is loaded by ``-p contract.plugin`` or by ``pytest_plugins = ["contract.plugin"]`` in the root
``conftest.py``, and only so: without ``--contract-url`` it does nothing and imports nothing. The
tests carry the marker ``contract`` and share their runs, so that they stay in one process: with
pytest-xdist, ``--dist loadgroup`` is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from dify_wire.app_kind import OTHER_APP_KINDS

if TYPE_CHECKING:
    from contract.check import Check
    from contract.report.builder import Row
    from contract.runner import Result
    from contract.target import Target

_GROUP = "contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; the key may also come from CONTRACT_API_KEY."""
    group = parser.getgroup("contract", "contract of the workflow API")
    group.addoption(
        "--contract-url", metavar="URL", help="Judge the host at URL: each check becomes a test."
    )
    group.addoption(
        "--contract-key", metavar="KEY", help="The key of a workflow app.  [env: CONTRACT_API_KEY]"
    )
    group.addoption(
        "--contract-secret",
        metavar="KEY",
        help="The host's SECRET_KEY, to judge what is signed with it.",
    )
    group.addoption(
        "--contract-files-url",
        metavar="URL",
        help="What stands before the URLs of its files, where they are absolute.",
    )
    group.addoption(
        "--contract-app",
        metavar="KEY=KIND",
        action="append",
        default=[],
        help=f"The key of another app, {', '.join(OTHER_APP_KINDS)}; repeatable.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is collected."""
    config.addinivalue_line(
        "markers", "contract: a check of the contract of the host at --contract-url"
    )
    if config.getoption("--contract-url") is None:
        return
    _capabilities(config)
    if config.getoption("dist", "no") not in ("no", "loadgroup") and not hasattr(
        config, "workerinput"
    ):
        raise pytest.UsageError(
            "--contract-url: the checks share their runs; use --dist loadgroup, or no -n"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add an item for each check."""
    url = config.getoption("--contract-url")
    if url is None:
        return
    import contract.checks
    from contract.check import CHECKS

    assert contract.checks
    host = _Host(url, _capabilities(config))
    config.add_cleanup(host.close)
    items += [CheckItem.of(session, check, host) for check in CHECKS.values()]


def _capabilities(config: pytest.Config) -> dict[str, Any]:
    key = config.getoption("--contract-key") or os.environ.get("CONTRACT_API_KEY")
    if not key:
        raise pytest.UsageError(
            "--contract-url needs --contract-key, or CONTRACT_API_KEY in the environment"
        )
    app_keys = {}
    for app in config.getoption("--contract-app"):
        app_key, _, kind = app.rpartition("=")
        if not app_key or kind not in OTHER_APP_KINDS:
            raise pytest.UsageError(
                f"--contract-app: expected KEY=KIND with a KIND of {', '.join(OTHER_APP_KINDS)}"
            )
        app_keys[kind] = app_key
    capabilities = {
        "secret": config.getoption("--contract-secret"),
        "files_url": config.getoption("--contract-files-url"),
    }
    return {"api_key": key, "app_keys": app_keys, **capabilities}


class _Host:
    """The host under judgement: reached with the first check, and shared by all."""

    def __init__(self, url: str, capabilities: Mapping[str, Any]) -> None:
        self._url = url
        self._capabilities = capabilities
        self._target: Target | None = None
        self._transport: Any = None
        self._unreachable: str | None = None
        self._results: dict[str, Result] = {}

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def judge(self, check: Check) -> Result:
        """One check's result, and what it follows from. Fails the test where the host cannot be
        judged at all.
        """
        from contract.check import CHECKS
        from contract.consequences import causes_to_look_for, with_causes

        target = self._target or self._reach()
        if self._unreachable is not None:
            pytest.fail(f"{self._url} could not be judged: {self._unreachable}", pytrace=False)
        result = self._judged(check, target)
        if not result.fails():
            return result
        causes = [self._judged(one, target) for one in causes_to_look_for(check, CHECKS)]
        return with_causes([*causes, result])[-1]

    def _judged(self, check: Check, target: Target) -> Result:
        from contract.runner import run_check

        if check.name not in self._results:
            self._results[check.name] = run_check(check, target)
        return self._results[check.name]

    def row(self, result: Result) -> Row:
        """The result as it is told: redacted and printable."""
        from contract.report.builder import report_builder

        assert self._target is not None
        rows, _ = report_builder(self._target).rows([result], strict_observed=False)
        return rows[0]

    def _reach(self) -> Target:
        from contract.client import HttpTransport
        from contract.preflight import CouldNotRunError, preflight
        from contract.report.builder import report_builder
        from contract.target import Capabilities, Target

        self._transport = HttpTransport(self._url.rstrip("/").removesuffix("/v1"))
        self._target = Target(self._transport, Capabilities(**self._capabilities))
        try:
            preflight(self._target)
        except CouldNotRunError as error:
            self._unreachable = report_builder(self._target).text(str(error))
        return self._target


class BrokenError(Exception):
    """A check that failed, as it is told."""


class CheckItem(pytest.Item):
    """One check as a test. Lacking a power is a skip, and so is what follows from another failure;
    a version's difference is an expected failure."""

    _check: Check
    _host: _Host

    @classmethod
    def of(cls, session: pytest.Session, check: Check, host: _Host) -> CheckItem:
        name = f"{_GROUP}::{check.name}"
        item: CheckItem = cls.from_parent(session, name=name, nodeid=name)
        item._check, item._host = check, host
        item.add_marker(pytest.mark.contract)
        item.add_marker(pytest.mark.xdist_group(_GROUP))
        return item

    def runtest(self) -> None:
        from contract.report.builder import Status
        from contract.report.junit import explanation

        row = self._host.row(self._host.judge(self._check))
        if row.status is Status.SKIPPED:
            pytest.skip(row.reason)
        if row.status is Status.FOLLOWS:
            pytest.skip(f"follows from {row.follows}: {row.reason}")
        if row.status is Status.DIFFERS:
            pytest.xfail(f"version difference: {row.reason}")
        if row.fails:
            raise BrokenError(explanation(row))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The explanation alone: where in the suite it was raised helps nobody."""
        if isinstance(excinfo.value, BrokenError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int | None, str]:
        return "contract", None, self.name
