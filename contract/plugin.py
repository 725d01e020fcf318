"""pytest: every check as a test of its own, ``contract::<name>``, against ``--contract-url``.

It is loaded by ``-p contract.plugin`` or by ``pytest_plugins = ["contract.plugin"]`` in the root
``conftest.py``, and only so: without ``--contract-url`` it does nothing and imports nothing. The
tests carry the marker ``contract`` and share their runs, so they stay in one process: pytest-xdist
needs ``--dist loadgroup``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dify_wire.app_kind import OTHER_APP_KINDS

if TYPE_CHECKING:
    from contract.check import Check
    from contract.result import Result
    from contract.target import Target

_GROUP = "contract"
_KINDS = ", ".join(OTHER_APP_KINDS)
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "url": {"metavar": "URL", "help": "Check the host at URL: each check becomes a test."},
    "key": {"metavar": "KEY", "help": "The key of a workflow app.  [env: CONTRACT_API_KEY]"},
    "secret": {"metavar": "KEY", "help": "The host's SECRET_KEY, to check what is signed with it."},
    "files-url": {
        "metavar": "URL",
        "help": "What the URLs of its files begin with, if they are absolute.",
    },
    "host-version": {
        "metavar": "V",
        "help": "The Dify version to compare the host with.  [default: the one that it states]",
    },
    "inputs": {
        "metavar": "FILE",
        "help": "Inputs of a run, in JSON or YAML, for another app than the document's.",
    },
    "app-file": {
        "metavar": "FILE",
        "help": "The export of the key's app: what it requires and the inputs lack gets a value.",
    },
    "app": {
        "metavar": "KEY=KIND",
        "action": "append",
        "default": [],
        "help": f"The key of another app, {_KINDS}; repeatable.",
    },
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract", "contract of the workflow API")
    for name, attributes in _OPTIONS.items():
        group.addoption(f"--contract-{name}", **attributes)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is collected."""
    config.addinivalue_line(
        "markers", "contract: a check of the contract of the host at --contract-url"
    )
    if config.getoption("--contract-url") is None:
        return
    _capabilities(config)
    distribution = config.getoption("dist", "no")
    if distribution not in ("no", "loadgroup") and not hasattr(config, "workerinput"):
        message = "--contract-url: the checks share their runs; use --dist loadgroup, or no -n"
        raise pytest.UsageError(message)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add an item for each check."""
    url = config.getoption("--contract-url")
    if url is None:
        return
    from contract.checks import CHECKS

    host = _Host(url, _capabilities(config))
    config.add_cleanup(host.close)
    items += [CheckItem.of(session, check, host) for check in CHECKS.values()]


def _capabilities(config: pytest.Config) -> dict[str, Any]:
    key = config.getoption("--contract-key") or os.environ.get("CONTRACT_API_KEY")
    if not key:
        message = "--contract-url needs --contract-key, or CONTRACT_API_KEY in the environment"
        raise pytest.UsageError(message)
    app_keys = {}
    for app in config.getoption("--contract-app"):
        app_key, _, kind = app.rpartition("=")
        if not app_key or kind not in OTHER_APP_KINDS:
            raise pytest.UsageError(f"--contract-app: expected KEY=KIND with a KIND of {_KINDS}")
        app_keys[kind] = app_key
    return {
        "api_key": key,
        "app_keys": app_keys,
        "secret": config.getoption("--contract-secret"),
        "files_url": config.getoption("--contract-files-url"),
        **_basis_and_inputs(config),
    }


def _basis_and_inputs(config: pytest.Config) -> dict[str, Any]:
    """The version to compare with, and the inputs of another app than the document's."""
    from contract.app_inputs import given_inputs
    from dify_wire.profile import recorded_version
    from dify_wire.text_file import SpecError

    version, *files = (
        config.getoption(f"--contract-{name}") for name in ("host-version", "inputs", "app-file")
    )
    try:
        return {
            "host_version": version and recorded_version(version),
            "inputs": given_inputs(*(file and Path(file) for file in files)),
        }
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None


class _Host:
    """The host under test: reached with the first check, and shared by all."""

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

    def result(self, check: Check) -> Result:
        """One check's result with its cause, redacted. Fails the test if the host cannot be checked
        at all.
        """
        from contract.checks import CHECKS
        from contract.report.builder import ReportBuilder
        from contract.runner import missing_extra, possible_causes, with_causes

        if (message := missing_extra([check])) is not None:
            pytest.fail(message, pytrace=False)
        target = self._target or self._reach()
        if self._unreachable is not None:
            message = f"{self._url} could not be checked: {self._unreachable}"
            pytest.fail(message, pytrace=False)
        result = self._run(check, target)
        if result.fails():
            causes = [self._run(one, target) for one in possible_causes(check, CHECKS)]
            result = with_causes([*causes, result])[-1]
        return ReportBuilder.of(target).results([result])[0]

    def _run(self, check: Check, target: Target) -> Result:
        from contract.runner import run_check

        if check.name not in self._results:
            self._results[check.name] = run_check(check, target)
        return self._results[check.name]

    def _reach(self) -> Target:
        from contract.client import HttpTransport
        from contract.preflight import CouldNotRunError, preflight
        from contract.report.builder import ReportBuilder
        from contract.target import Capabilities, Target

        self._transport = HttpTransport(self._url.rstrip("/").removesuffix("/v1"))
        self._target = target = Target(self._transport, Capabilities(**self._capabilities))
        try:
            preflight(target)
        except CouldNotRunError as error:
            self._unreachable = ReportBuilder.of(target).text(str(error))
        return target


class CheckFailedError(Exception):
    """A check that failed; the message explains it."""


class CheckItem(pytest.Item):
    """One check as a test. A missing capability is a skip, and so is what follows from another
    failure; a version's difference is an expected failure.
    """

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
        from contract.report.files import explanation, summary
        from contract.result import Status

        result = self._host.result(self._check)
        if result.status in (Status.SKIPPED, Status.FOLLOWS):
            pytest.skip(summary(result))
        if result.status is Status.DIFFERS:
            pytest.xfail(summary(result))
        if result.fails():
            raise CheckFailedError(explanation(result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The explanation alone, without a traceback into the suite."""
        if isinstance(excinfo.value, CheckFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int | None, str]:
        return "contract", None, self.name
