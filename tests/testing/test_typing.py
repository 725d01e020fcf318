"""A type checker finds the mistakes of a test, and the types say what the code takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.server

SNIPPET = """
from collections.abc import Callable
from datetime import timedelta
from fake_server.testing import FakeHost, FakeHostFactory

def right(fake: FakeHost) -> None:
    FakeHost(speed="instant", app="cats.yml", apps={"k": "chat"}, seed=2)
    fake.scenario("slow", node="tool", seconds=90, when={"prompt": {"contains": "cat"}}, times=2)
    fake.scenario("http_error", status=503, body="html")
    fake.scenario("null_url", when={"header": {"X-A": "b"}}).remove()
    fake.verify(prompt="a cat", count=2)
    fake.clock.advance(timedelta(minutes=5))

def wrong(fake: FakeHost) -> None:
    FakeHost(sped=1)  # wrong
    FakeHost(speed="fast")  # wrong
    FakeHost(port=6060)  # wrong
    fake.scenario("no_such")  # wrong
    fake.scenario("slow", secnds=90)  # wrong
    fake.scenario("slow", seconds="90")  # wrong
    fake.scenario("null_url", seconds=90)  # wrong
    fake.scenario("http_error", body="xml")  # wrong
    fake.scenario("slow", when={"promt": "a cat"})  # wrong
    fake.scenario("slow", when={"mode": "both"})  # wrong
    fake.verify(promt="a cat")  # wrong
    fake.verify(status="200")  # wrong
    fake.wait_for_request(promt="a cat")  # wrong
    fake.clock.advance("5m")  # wrong

def wrong_options(fake_host_factory: FakeHostFactory) -> None:
    fake_host_factory(sped=1)  # wrong
"""


def test_mypy_finds_each_mistake_and_nothing_else(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--no-pretty", str(snippet)]  # with our cache
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    found = {
        int(line.split(":")[1])
        for line in ended.stdout.splitlines()
        if ": error:" in line and "snippet" in line
    }
    wrong = {
        number for number, line in enumerate(SNIPPET.splitlines(), 1) if line.endswith("# wrong")
    }
    assert found == wrong, ended.stdout
