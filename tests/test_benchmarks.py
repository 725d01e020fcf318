"""The benchmarks are found, their arithmetic is right, and what cannot be measured here is said,
not left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import measure
from benchmarks.measure import Figure, Load, Loaded, SkippedError, compared, cpu_figure, table, wrk
from tests.serving import ROOT


def test_modules_with_figures_are_benchmarks() -> None:
    assert {"fixture", "start", "streams", "throughput"} <= set(benchmarks.declared())
    assert "measure" not in benchmarks.declared()


def test_slices_take_turns() -> None:
    """A B B A: what grows steadily while both are measured is in both alike."""
    order: list[str] = []
    clock: Iterator[int] = iter(range(100))

    def load(name: str) -> Load:
        order.append(name)
        return Load(1.0, float(next(clock)))

    ones, others = compared(lambda: load("a"), lambda: load("b"), rounds=4)
    assert "".join(order) == "abbaabba"
    assert sum(one.cpu_us for one in ones) == sum(other.cpu_us for other in others)


def test_ratio_is_that_of_each_round() -> None:
    """A round in which everything was slow counts as any other."""
    ones = [Load(1, us) for us in (20, 2000, 30)]
    others = [Load(1, us) for us in (10, 1000, 10)]
    figure = cpu_figure("x", ones, others, "y")
    assert (figure.value, figure.ratio, figure.against) == (30, 2.0, "y")
    assert figure.spread == (2.0, 3.0)


def test_table_stands_in_columns() -> None:
    figures = [
        Figure("short", 1234.5, "requests/s"),
        Figure("longer", 1.25, "µs CPU", 1.004, (0.99, 1.02), "that"),
    ]
    assert table(figures).splitlines() == [
        "short   1,234 requests/s",
        "longer    1.2 µs CPU      1.004 (0.990 to 1.020) of that",
    ]


def test_without_wrk_the_reason_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(benchmarks, "declared", lambda: {"throughput": figures})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json"])

    def figures() -> list[Figure]:
        wrk(Loaded("http://127.0.0.1:1", 1, 1), "/", b"", 1, 1.0)
        raise AssertionError("it cannot be measured")

    benchmarks.main()
    output = capsys.readouterr()
    assert json.loads(output.out) == {"throughput": []}
    assert "throughput is skipped: wrk is not installed" in output.err


def test_processor_time_that_cannot_be_read_is_a_reason_to_skip() -> None:
    with pytest.raises(SkippedError, match="on Linux only"):
        measure.cpu_s(-1)


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
