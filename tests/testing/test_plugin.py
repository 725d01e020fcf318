"""The fixture ``fake_host`` as users meet it: in pytest runs of their own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

import fake_server.testing.host
from tests.serving import ROOT
from tests.tools import QUICK

pytestmark = pytest.mark.server

pytest_plugins = ["pytester"]

CLIENT = """
import asyncio, http.client, json, unittest
import pytest
from urllib.parse import urlsplit

def run(fake, **fields):
    connection = http.client.HTTPConnection(urlsplit(fake.url).netloc, timeout=5)
    body = {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u", **fields}
    headers = {"Authorization": f"Bearer {fake.api_key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/workflows/run", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text
"""


assert fake_server.testing.host
assert yaml
"""A run in this process forgets what it has imported; but C code, which cannot be imported twice,
remembers.
"""


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def run(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    """Run ``tests`` in this process, strictly: any warning is an error, and so is any unknown
    marker.
    """
    pytester.makepyfile(CLIENT + tests)
    return pytester.runpytest_inprocess("-W", "error", "--strict-markers", *QUICK, *arguments)


def test_a_test_has_a_host_of_its_own(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_sync(fake_host):
    assert run(fake_host)[0] == 200
    assert [request.user for request in fake_host.requests] == ["u"]

def test_async(fake_host):
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, loop.run_in_executor, None, run, fake_host)
        return await fake_host.async_wait_for_request(user="u")
    assert asyncio.run(main()).prompt == "a cat"

@pytest.mark.anyio
async def test_of_anyio(fake_host, anyio_backend_name):
    assert (await asyncio.to_thread(run, fake_host))[0] == 200
    assert len(fake_host.requests) == 1

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.usefixtures("fake_host")
class TestUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _host(self, fake_host):
        self.fake = fake_host

    def test_run(self):
        assert run(self.fake)[0] == 200
        assert len(self.fake.requests) == 1
""",
    ).assert_outcomes(passed=4)


SPOILING = """
seen = []

@pytest.mark.parametrize("n", range(4))
def test_leaves_a_mess(fake_host, n):
    fake_host.clock.freeze(1_700_000_000)
    status, text = run(fake_host)
    assert status == 200
    with open("ANSWERS", "a") as file:
        print(json.dumps([n, text]), file=file)
    assert len(fake_host.requests) == 1
    fake_host.scenario("http_error", status=500)
    seen.append(fake_host.url)
    assert len(set(seen)) == 1
"""


def test_nothing_is_left_of_a_test_and_its_seed_is_its_own(pytester: pytest.Pytester) -> None:
    """On one server a worker, in any order and worker: clock, requests, scenarios and seed."""
    bodies = []
    for workers in ((), ("-p", "xdist", "-n", "2")):
        written = pytester.path / f"bodies{len(workers)}"
        run(
            pytester,
            SPOILING.replace("ANSWERS", str(written)),
            *workers,
            "-W",
            "ignore::fake_server.testing.UnusedScenarioWarning",
        ).assert_outcomes(passed=4)
        bodies.append(sorted(written.read_text().splitlines()))
    assert bodies[0] == bodies[1]
    assert len(set(bodies[0])) == 4


def test_marker_gives_settings_and_the_nearest_wins(pytester: pytest.Pytester) -> None:
    (pytester.path / "cats.yml").write_text((ROOT / "fake_server/data/workflow.yml").read_text())
    run(
        pytester,
        """
pytestmark = pytest.mark.fake_host(api_key="app-a", speed=10)
urls = {}

def test_of_the_module(fake_host):
    urls["module"] = fake_host.url
    assert fake_host.api_key == "app-a"

@pytest.mark.fake_host(api_key="app-b", app="cats.yml", seed=3)
def test_of_its_own(fake_host):
    urls["own"] = fake_host.url
    assert fake_host.api_key == "app-b"

@pytest.mark.fake_host(seed=4)
def test_as_the_module(fake_host):
    assert fake_host.url == urls["module"] != urls["own"]
    with fake_host.scenario("slow", seconds=600):
        fake_host.clock.freeze()
        loop = asyncio.new_event_loop()
        answer = loop.run_in_executor(None, run, fake_host)
        fake_host.clock.wait_until_blocked()
        fake_host.clock.advance(61)
        assert loop.run_until_complete(answer)[0] == 200
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
""",
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            "sped=1",
            "@pytest.mark.fake_host: sped: 'sped' is not a known setting (did you mean 'speed'?)*",
        ),
        ("speed=-1", "@pytest.mark.fake_host: speed: -1 is not a valid speed; use *"),
        ("app='none.yml'", "@pytest.mark.fake_host: none.yml: the file: it cannot be read*"),
        ("10", "@pytest.mark.fake_host(10,): settings have names, as in speed=10"),
        (
            "port=80",
            "@pytest.mark.fake_host: port: 'port' is not a known setting; known: *api_key*",
        ),
    ],
)
def test_marker_with_a_mistake_is_an_error_in_one_line(
    marker: str, message: str, pytester: pytest.Pytester
) -> None:
    ended = run(pytester, f"@pytest.mark.fake_host({marker})\ndef test_it(fake_host): pass\n")
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines([f"*{message.replace('[', '[[]')}"])
    ended.stdout.no_fnmatch_line("*Traceback*")


def test_failure_shows_what_the_host_received(pytester: pytest.Pytester) -> None:
    ended = run(
        pytester,
        """
def test_fails(fake_host):
    run(fake_host, user=7)
    with fake_host.scenario("http_error", status=503):
        run(fake_host, inputs={"prompt": "a dog"})
    assert False

def test_fails_without_requests(fake_host):
    fake_host.verify(user="nobody")

def test_passes(fake_host):
    run(fake_host, user="unseen")

def test_fails_without_the_host():
    assert False
""",
    )
    ended.assert_outcomes(passed=1, failed=3)
    ended.stdout.fnmatch_lines(
        [
            "*- fake host: requests -*",
            "POST /v1/workflows/run → 200 user=7 mode='blocking' prompt='a cat'",
            "    warning: user: 7 is not of type*",
            "POST /v1/workflows/run → 503 user='u' mode=* prompt='a dog' scenarios=http_error",
            "*0 of 0 received requests match user='nobody'; at least 1 expected",
            "*- fake host: requests -*",
            "none",
        ]
    )
    assert ended.stdout.str().count("fake host: requests") == 2
    ended.stdout.no_fnmatch_line("*unseen*")


def test_failure_after_many_requests_shows_the_newest(pytester: pytest.Pytester) -> None:
    tests = (
        "def test_fails(fake_host):\n"
        "    for n in range(40): run(fake_host, user=f'u{n}')\n"
        "    assert False\n"
    )
    shown = run(pytester, tests).stdout
    shown.fnmatch_lines(["(10 before these)", "*user='u10'*", "*user='u39'*"])
    shown.no_fnmatch_line("*user='u9'*")


UNUSED = """
def test_nobody(fake_host):
    fake_host.scenario("http_error", status=503, when={"user": "nobody"})
    with fake_host.scenario("rate_limited"):
        pass
    run(fake_host)

def test_used(fake_host):
    fake_host.scenario("http_error", status=503)
    fake_host.scenario("no_ping", when={"probability": 0})
    run(fake_host)

def test_fails(fake_host):
    fake_host.scenario("http_error", times=2)
    assert False
"""


def test_scenario_that_never_acted_is_reported(pytester: pytest.Pytester) -> None:
    """As a warning where the test passed, with its requests where it failed."""
    ended = run(pytester, UNUSED, "-W", "default::fake_server.testing.UnusedScenarioWarning")
    ended.assert_outcomes(passed=2, failed=1, warnings=1)
    ended.stdout.fnmatch_lines(
        [
            "never acted: scenario http_error times=2",
            "*UnusedScenarioWarning: *: http_error * when={'user': 'nobody'}; rate_limited*",
        ]
    )


def test_unused_scenario_is_an_error_where_warnings_are(pytester: pytest.Pytester) -> None:
    run(pytester, UNUSED, "-k", "test_nobody").assert_outcomes(passed=1, errors=1, deselected=2)


FACTORY = """
@pytest.fixture(scope="session")
def pair(fake_host_factory):
    return fake_host_factory(seed=1), fake_host_factory(api_key="app-b")

@pytest.mark.parametrize("n", range(2))
def test_pair(pair, n, fake_host):
    one, other = pair
    assert len({one.url, other.url, fake_host.url}) == 3
    assert (run(one)[0], run(other)[0]) == (200, 200)
    assert len(one.requests) == n + 1

def test_mistake(fake_host_factory):
    fake_host_factory(sped=1)
"""


def test_factory_starts_hosts_for_the_session(pytester: pytest.Pytester) -> None:
    ended = run(pytester, FACTORY)
    ended.assert_outcomes(passed=2, failed=1)
    ended.stdout.fnmatch_lines(["*fake_host_factory: sped: 'sped' is not a known setting*"])


def test_it_is_in_the_help(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("--markers", *QUICK).stdout.fnmatch_lines(
        ["@pytest.mark.fake_host(*settings*"]
    )
    pytester.runpytest_inprocess("--fixtures", "-q", *QUICK).stdout.fnmatch_lines(
        ["fake_host -- *", "*A fake Dify host, fresh*"]
    )


def test_pytest_pays_nothing_for_it() -> None:
    """Until the fixture is used, the plugin has brought nothing but itself."""
    program = (
        "import sys, pytest, zlib; before = set(sys.modules); import fake_dify.pytest_plugin; "
    )
    program += "print(sorted(set(sys.modules) - before))"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = re.findall(r"'([\w.]+)'", ended.stdout)
    assert loaded == ["fake_dify", "fake_dify.pytest_plugin"]
