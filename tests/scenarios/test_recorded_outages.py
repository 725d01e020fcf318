"""What the recorded hosts of every version sent while something behind them failed is what the
scenario of that failure makes of their fakes.
"""

from __future__ import annotations

import json
import re
from functools import cache

import pytest

from dify_wire.exchange import Recording
from dify_wire.profile import HOST_VERSIONS
from dify_wire.recording.folder import read_folder
from fake_server.app import FakeServer, create_app
from fake_server.settings import Settings
from tests.asgi import call
from tests.recorded import APPS, RECORDINGS

VERSIONS = [one for one in HOST_VERSIONS if (APPS / f"dify-{one}").is_dir()]
FAILED = re.compile(r"(fail|down)_(sd|options|llm|pg|redis)_(?:mode_(\w+?)_)?\w*?(block|stream)")
SCENARIOS = {
    "sd": "sd_failed; how={how}",
    "options": "sd_options_failed; how={how}",
    "llm": "llm_failed; how={how}",
    "pg": "upstream_down; service=postgres",
    "redis": "upstream_down; service=redis",
}
FREE = re.compile(
    r'"(?:\w*_at|elapsed_time|size|total_tokens|sequence_number|latency)": ?[\d.e-]+'
    r"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|timestamp=\d+|sign=[\w-]+(?:=|%3D)"
    r"|dify-file-ref:[\w=]+"
)
"""What differs from run to run."""


@cache
def host(version: str) -> FakeServer:
    folder = APPS / f"dify-{version}"
    keys = json.loads((RECORDINGS / f"dify-{version}" / "keys.json").read_text("utf-8"))
    apps = [
        (keys[label], f"{folder / label}.yml+{folder / label}.fake.yml")
        for label in ("main", "simple", "textmodel")
    ]
    return create_app(Settings(host_version=version, speed=None, apps=tuple(apps)))


def outages(version: str) -> list[tuple[Recording, str]]:
    """The exchanges with something that failed, each with its scenario."""
    found = []
    for one in read_folder(RECORDINGS / f"dify-{version}"):
        names = FAILED.fullmatch(one.name)
        if names and one.ended == "complete":
            found.append((one, SCENARIOS[names[2]].format(how=names[3])))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_scenarios_fail_as_the_recorded_host_did(version: str) -> None:
    """Status and body, the latter but for ids, times and signatures; of streams their events."""
    compared, wrong = 0, []
    for one, scenario in outages(version):
        headers = [*one.request.headers, ("X-Fake-Scenario", scenario)]
        answer = call(host(version), "POST", one.request.target, headers, one.request.body)
        expected = one.status, shown(one.body)
        compared += 1
        if (answer.status, shown(answer.body)) != expected:
            wrong.append(f"{one.name}: {(answer.status, shown(answer.body))} not {expected}")
    assert compared > 10
    assert not wrong, "\n".join(wrong)


def shown(body: bytes) -> str:
    """The text that can be compared: of streams, the events with their status and error."""
    text = body.decode()
    if not text.startswith(("data:", "event:")):
        return FREE.sub("", text)
    events = []
    for frame in text.split("\n\n"):
        if frame.startswith("data: "):
            message = json.loads(frame.removeprefix("data: "))
            data = message["data"]
            events.append((message["event"], data.get("status"), data.get("error")))
    return json.dumps(events)
