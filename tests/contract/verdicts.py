"""``python -m tests.contract.verdicts`` writes contract/verified.toml: where and when each check
was seen to pass.

Checks run against the recorded exchanges of a real host; those that need more and have no entry
yet run against the fake with every capability. Where one of them fails, nothing is written.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from contract.admin import AdminClock
from contract.check import FAKE_ONLY, VERDICTS, Check, Seen, verdicts
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.offline import (
    OfflineResult,
    capabilities_from,
    check_recordings,
    load_exchanges,
    load_keys,
)
from contract.result import Result, Status
from contract.runner import run_checks
from contract.target import Capabilities, Target
from dify_wire.profile import HOST_VERSIONS
from tests.serving import ROOT, running_server

EVERY_EXCHANGE = "every recorded exchange"
VERSION = "0.6.4"
RECORDING = ROOT / "recordings" / f"dify-{VERSION}"
APP_KEYS = {kind: f"app-{kind:0<24}" for kind in ("chat", "unpublished", "disabled", "deleted")}
SECRET = "sk-the-fake-is-signed-with-this"
_HEAD = """\
# On which host version and day each check was seen to pass, and in which recorded exchanges, by the
# names of the checks; also_on are the other recorded versions. Written by
# `python -m tests.contract.verdicts`; "fake only" is what no recording of 0.6.4 shows.
"""


OTHER_VERSIONS = [
    version
    for version in HOST_VERSIONS[::-1]
    if version != VERSION and (RECORDING.parent / f"dify-{version}").is_dir()
]


def offline(version: str = VERSION) -> list[OfflineResult]:
    """The result of every check on the recorded host of ``version``."""
    folder = RECORDING.parent / f"dify-{version}"
    return check_recordings(
        folder, capabilities_from(load_keys(folder / "keys.json")), CHECKS.values()
    )


def also_on() -> dict[str, dict[str, datetime.date]]:
    """On which other recorded versions each check passes, and when these were recorded."""
    found: dict[str, dict[str, datetime.date]] = {}
    for version in OTHER_VERSIONS:
        recordings = load_exchanges(RECORDING.parent / f"dify-{version}")
        sent_at = {one.name: one.sent_at for one in recordings}
        for one in offline(version):
            if one.result.status is Status.PASSED and one.exchanges:
                day = datetime.datetime.fromtimestamp(sent_at[one.exchanges[0]], datetime.UTC)
                found.setdefault(one.result.name, {})[version] = day.date()
    return found


def every_capability(api_key: str, clock: AdminClock | None = None) -> Capabilities:
    return Capabilities(
        api_key, SECRET, APP_KEYS, all_models=True, free_runs=True, max_runs=None, clock=clock
    )


def fake_options() -> list[str]:
    """The flags of a fake that has every capability."""
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    return ["--speed=10", f"--secret-key={SECRET}", *apps]


def on_the_fake(checks: Iterable[Check]) -> list[Result]:
    """The results of ``checks`` on a fake that has every capability."""
    with running_server(*fake_options()) as server:
        transport, clock = HttpTransport(server.url), AdminClock(server.url)
        target = Target(transport, every_capability(server.api_key, clock))
        results = run_checks(target, list(checks))
        clock.close()
        transport.close()
    return results


def seen_offline(result: OfflineResult, sent_at: Mapping[str, float]) -> Seen:
    day = datetime.datetime.fromtimestamp(sent_at[result.exchanges[0]], datetime.UTC).date()
    whole = len(result.exchanges) == len(sent_at)
    return Seen(VERSION, day, EVERY_EXCHANGE if whole else ", ".join(result.exchanges))


def seen() -> dict[str, Seen]:
    """Where every check passed. Raises ``SystemExit`` for one that passed nowhere."""
    sent_at = {exchange.name: exchange.sent_at for exchange in load_exchanges(RECORDING)}
    found = {
        one.result.check.name: seen_offline(one, sent_at)
        for one in offline()
        if one.result.status is Status.PASSED and one.exchanges
    }
    for name, old in verdicts().items():
        if name in CHECKS and (old.host_version, old.recording) == (VERSION, FAKE_ONLY):
            found.setdefault(name, replace(old, also_on={}))
    new = [check for name, check in CHECKS.items() if name not in found]
    results = on_the_fake(new) if new else []
    problems = [_problem(one) for one in results if one.status is not Status.PASSED]
    if problems:
        sys.exit("\n".join([*problems, "nothing is written; try again on an idle machine"]))
    today = datetime.datetime.now(datetime.UTC).date()
    found |= {check.name: Seen(VERSION, today, FAKE_ONLY) for check in new}
    others = also_on()
    return {name: replace(one, also_on=others.get(name, {})) for name, one in found.items()}


def _problem(result: Result) -> str:
    return f"{result.check.name} did not pass on the fake ({result.status}: {result.reason})"


def write(found: Mapping[str, Seen], path: Path = VERDICTS) -> None:
    entries = (
        f'[{name}]\nhost_version = "{one.host_version}"\nday = {one.day}\nrecording = '
        f'"{one.recording}"\n{_also_on(one)}'
        for name, one in sorted(found.items())
    )
    path.write_text("\n".join([_HEAD, *entries]), encoding="utf-8")


def _also_on(one: Seen) -> str:
    days = ", ".join(f'"{version}" = {day}' for version, day in one.also_on.items())
    return f"also_on = {{{days}}}\n" if days else ""


def main() -> None:
    found = seen()
    write(found)
    fakes = sum(one.recording == FAKE_ONLY for one in found.values())
    print(f"{len(found)} checks, {len(found) - fakes} of them seen on a real host")


if __name__ == "__main__":
    main()
