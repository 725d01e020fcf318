"""``python -m tests.contract.verdicts`` writes contract/verified.toml: where and when each check
was seen to hold.

First the recorded exchanges of a real host are judged; what they cannot show is judged on the fake
with every power lent, and says so. A day stays as it is where the same evidence is found again. It
fails for a check that holds nowhere.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from contract.admin import AdminClock
from contract.check import EVERY_EXCHANGE, FAKE_ONLY, VERDICTS, Check, Seen, verdicts
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.offline import (
    OfflineResult,
    capabilities_from,
    check_recordings,
    load_exchanges,
    load_keys,
)
from contract.result import Status
from contract.runner import run_checks
from contract.target import Capabilities, Target
from tests.serving import ROOT, running_server

VERSION = "0.6.4"
RECORDING = ROOT / "recordings" / f"dify-{VERSION}"
APP_KEYS = {kind: f"app-{kind:0<24}" for kind in ("chat", "unpublished", "disabled", "deleted")}
SECRET = "sk-the-fake-is-signed-with-this"
_HEAD = """\
# Dated verdicts: on which host version and day each check was seen to hold, and in which recorded
# exchanges. Written by `python -m tests.contract.verdicts`; "fake only" is what no recording shows.
"""


def offline() -> list[OfflineResult]:
    """Every check, judged by the recorded host."""
    return check_recordings(
        RECORDING, capabilities_from(load_keys(RECORDING / "keys.json")), CHECKS.values()
    )


def every_capability(api_key: str, clock: AdminClock | None = None) -> Capabilities:
    return Capabilities(
        api_key, SECRET, APP_KEYS, all_models=True, free_runs=True, max_runs=None, clock=clock
    )


def fake_options() -> list[str]:
    """What makes ``fake-server serve`` a host that lends everything."""
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    return ["--speed=10", f"--secret-key={SECRET}", *apps]


def on_the_fake(checks: Iterable[Check]) -> set[str]:
    """The names of those ``checks`` that hold on the fake."""
    with running_server(*fake_options()) as server:
        transport, clock = HttpTransport(server.url), AdminClock(server.url)
        results = run_checks(
            Target(transport, every_capability(server.api_key, clock)), list(checks)
        )
        clock.close()
        transport.close()
    return {result.check.name for result in results if result.status is Status.PASSED}


def seen_offline(result: OfflineResult, sent_at: Mapping[str, float]) -> Seen:
    day = datetime.datetime.fromtimestamp(sent_at[result.exchanges[0]], datetime.UTC).date()
    whole = len(result.exchanges) == len(sent_at)
    return Seen(VERSION, day, EVERY_EXCHANGE if whole else ", ".join(result.exchanges))


def seen() -> dict[str, Seen]:
    """The verdict on every check that holds somewhere."""
    sent_at = {exchange.name: exchange.sent_at for exchange in load_exchanges(RECORDING)}
    found = {
        one.result.check.name: seen_offline(one, sent_at)
        for one in offline()
        if one.result.status is Status.PASSED and one.exchanges
    }
    held = on_the_fake(check for name, check in CHECKS.items() if name not in found)
    today = datetime.datetime.now(datetime.UTC).date()
    found |= {name: _kept(name, Seen(VERSION, today, FAKE_ONLY)) for name in held}
    return {name: found[name] for name in CHECKS if name in found}


def _kept(name: str, new: Seen) -> Seen:
    old = verdicts().get(name)
    return (
        old
        if old is not None
        and (old.host_version, old.recording) == (new.host_version, new.recording)
        else new
    )


def write(found: dict[str, Seen], path: Path = VERDICTS) -> None:
    entries = (
        f'[{name}]\nhost_version = "{one.host_version}"\nday = {one.day}\nrecording = '
        f'"{one.recording}"\n'
        for name, one in found.items()
    )
    path.write_text("\n".join([_HEAD, *entries]), encoding="utf-8")


def main() -> None:
    found = seen()
    write(found)
    fakes = sum(one.recording == FAKE_ONLY for one in found.values())
    print(f"{len(found)} checks, {len(found) - fakes} of them seen on a real host")
    missing = [name for name in CHECKS if name not in found]
    if missing:
        sys.exit(f"these hold nowhere: {', '.join(missing)}")


if __name__ == "__main__":
    main()
