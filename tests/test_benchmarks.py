"""The benchmarks are found, their arithmetic is right, and what cannot be measured here is said,
not left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import peers
from benchmarks.measure import Figure, Sample, Size, beside, table
from benchmarks.servers import Server
from benchmarks.wrk import PROMPTS, Requests, load, runs
from tests.serving import ROOT


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


def test_peer_that_is_not_installed_is_missing_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "none")
    found = peers.found(Size.QUICK, tmp_path)
    assert set(found) == {"aimock", "Prism", "WireMock", "pytest-httpserver"}
    assert all(isinstance(why, str) and why.startswith("missing: ") for why in found.values())


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
