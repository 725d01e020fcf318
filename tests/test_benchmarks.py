"""The benchmarks are found, their arithmetic is right, and what cannot be measured here is said,
not left out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import peers
from benchmarks.floor import Constant, floor
from benchmarks.measure import Figure, Sample, Size, SkippedError, beside, table
from benchmarks.servers import Server
from benchmarks.wrk import PROMPTS, Requests, load, runs
from tests.serving import ROOT, Connection


def test_modules_with_figures_are_benchmarks() -> None:
    assert {"fixture", "start", "streams", "throughput"} <= set(benchmarks.declared())
    assert "measure" not in benchmarks.declared()


def test_slices_take_turns() -> None:
    """A B B A: what grows steadily while both are measured is in both alike."""
    order: list[str] = []
    clock: Iterator[int] = iter(range(100))

    def measured(name: str) -> Sample:
        order.append(name)
        return {"µs": float(next(clock))}

    found = beside("x", {"a": lambda: measured("a"), "b": lambda: measured("b")}, rounds=4)
    assert "".join(order) == "abbaabba"
    assert [figure.value for figure in found] == [3.5, 3.5]


def test_ratio_is_that_of_each_round() -> None:
    """A round in which everything was slow counts as any other."""
    ours, floors = iter((20.0, 2000.0, 30.0)), iter((10.0, 1000.0, 10.0))
    floor, fake = beside(
        "x", {"F": lambda: {"µs": next(floors)}, "f": lambda: {"µs": next(ours)}}, 3
    )
    assert (floor.ratio, floor.spread) == (None, (10.0, 505.0))
    assert (fake.value, fake.ratio, fake.ratio_spread) == (30, 2.0, (2.0, 2.5))


def test_table_has_a_row_for_each_subject() -> None:
    figures = [
        Figure("a run", "F", "requests/s", 20_000.4),
        Figure("a run", "F", "µs CPU", 33.44),
        Figure("a run", "the fake", "requests/s", 9_000.0, None, 0.45),
        Figure("a run", "the fake", "µs CPU", 66.9, (66.0, 67.0), 2.0, (1.9, 2.1)),
        Figure("a run", "Prism", note="missing: not installed"),
    ]
    assert table(figures).splitlines() == [
        "a run       requests/s      µs CPU",
        "  F         20,000          33.4",
        "  the fake  9,000 = 0.45 ×  66.9 = 2.00 × (1.90 to 2.10)",
        "  Prism     missing: not installed",
    ]


def test_without_wrk_the_reason_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def figures(size: Size) -> list[Figure]:
        load(Server("http://127.0.0.1:1", 1, 1), Requests("/", [b""]), 1, 1.0)
        raise AssertionError("it cannot be measured")

    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(benchmarks, "declared", lambda: {"throughput": figures})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(tmp_path / "figures.json")])
    benchmarks.main()
    assert "skipped   wrk is not installed" in capsys.readouterr().out
    [figure] = json.loads((tmp_path / "figures.json").read_text())["parts"]["throughput"]
    assert figure["note"].startswith("wrk is not installed")


def test_without_chromium_the_console_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SkippedError, match="Chromium is not installed"):
        benchmarks.declared()["console"](Size.SMOKE)


def test_peer_that_is_not_installed_is_missing_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "none")
    found = peers.found(Size.QUICK, tmp_path)
    assert set(found) == {"aimock", "Prism", "WireMock", "pytest-httpserver"}
    assert all(isinstance(why, str) and why.startswith("missing: ") for why in found.values())


@pytest.mark.server
def test_floor_sends_a_body_at_once_and_each_frame_by_itself() -> None:
    frames = [(0.0, "data: 1\n\n"), (0.0, "event: ping\n\n")]
    constants = {"/run": Constant(400, [(0, "{}")], False), "/s": Constant(200, frames, True)}
    with floor(constants) as server, Connection("127.0.0.1", server.port) as connection:
        run, stream = (connection.exchange(Requests(path, [b"x"]).raw()) for path in ("/run", "/s"))
    assert (run.status, run.body, run.header("content-length")) == (400, b"{}", "2")
    assert [data for _, data in stream.chunks] == [frame.encode() for _, frame in frames]


_BUSY = """
import subprocess, sys, threading, time
def burn():
    while time.thread_time() < 0.1: pass
work = threading.Thread(target=burn)
work.start()
if len(sys.argv) == 2:
    child = subprocess.Popen([*sys.orig_argv[:3], "child", "of", "it"], stdout=subprocess.PIPE)
    child.stdout.readline()
work.join()
print("done", flush=True)
time.sleep(60)
"""


@pytest.mark.server
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the clocks of other processes")
def test_processor_time_is_that_of_threads_and_children_too() -> None:
    command = [sys.executable, "-c", _BUSY, "parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used_s = Server("", 0, process.pid).cpu_s()
        os.killpg(process.pid, signal.SIGKILL)
    assert used_s >= 0.2


def test_prompts_differ_in_length_and_script() -> None:
    assert len(set(PROMPTS)) == len(set(runs("blocking"))) == 64
    assert sum(prompt.isascii() for prompt in PROMPTS) == 32
    assert (min(map(len, PROMPTS)), max(map(len, PROMPTS))) == (7, 404)


def test_unknown_benchmark_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "stream"])
    with pytest.raises(SystemExit) as ended:
        benchmarks.main()
    assert ended.value.code == 2
    assert (
        "'stream' is not a known benchmark (did you mean 'streams'?); known: "
        in capsys.readouterr().err
    )


def test_every_benchmark_is_explained() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [name for name in benchmarks.declared() if f"`{name}`" not in page] == []
