"""The four reports: what they tell of every way a check can end, and that nothing a host sends can
harm a reader.
"""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from contract.check import Check, Level, Seen
from contract.report.builder import Report, ReportBuilder
from contract.report.files import report_html, report_json, report_junit
from contract.report.terminal import TerminalReport
from contract.result import Result, Status
from contract.runner import run_check
from contract.target import Capabilities, Target
from dify_wire.exchange import Chunk, Exchange, Request
from dify_wire.redaction.text import TextRedactor
from tests.contract import samples
from tests.contract.samples import KEY

NASTY = '<script>alert(1)</script> [red]{{ 7 * 7 }}]]> \x1b[31m\u202e\ud83d & "quoted"\r'
SEEN = {"answer_is_200": Seen("0.6.4", datetime.date(2026, 11, 22), "get_v1s")}


def report(
    results: list[Result],
    strict: bool = False,
    interrupted: bool = False,
    seen: Mapping[str, Seen] = SEEN,
) -> Report:
    shown = ReportBuilder(TextRedactor([KEY]), seen).results(results, strict)
    began = datetime.datetime(2026, 11, 22, 18, 0, tzinfo=datetime.UTC)
    return Report("http://127.0.0.1:6060", "0.6.4", began, 1.5, 4, 3, 0, strict, interrupted, shown)


class _Host:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def send(self, request: Request, on_chunk: object = None) -> Exchange:
        return self._exchange


def results_of(exchange: Exchange, checks: Mapping[str, Check] = samples.EVERY_END) -> list[Result]:
    target = Target(_Host(exchange), Capabilities(KEY))
    return [run_check(check, target) for check in checks.values()]


def exchange(
    body: bytes, content_type: str = "text/html", status: int | None = 404, **more: object
) -> Exchange:
    request = Request("POST", "/v1/", (("Authorization", f"Bearer {KEY}"),), b'{"user": "alg123"}')
    headers = (("Content-Type", content_type), ("X-Nasty", NASTY))
    return Exchange(request, status, headers, (Chunk(0.25, body),), **more)  # type: ignore[arg-type]


@pytest.fixture
def every_end() -> Report:
    return report(results_of(exchange(NASTY.encode("utf-8", "surrogatepass"))))


def broken(shown: Exchange) -> str:
    """How ``shown`` is told, as the answer behind a broken promise."""
    result = Result(
        samples.check(samples.answer_is_200), Status.FAILED, 0.0, "r", "e", "g", "w", shown
    )
    return report([result]).exchanges[0].response


# What is told


def test_account_knows_every_end(every_end: Report) -> None:
    assert [row.status for row in every_end.results] == [
        Status.FAILED,
        Status.FAILED,
        Status.DIFFERS,
        Status.SKIPPED,
        Status.NOT_RUN,
        Status.FAILED,
    ]
    assert every_end.headline == "Failed: 3 of 6 checks failed, 1 was not run."
    assert every_end.exit_code == 1
    assert len(every_end.exchanges) == 1
    assert every_end.results[0].verified == "on Dify 0.6.4, 2026-11-22, get_v1s"


def test_all_passed_and_interrupted() -> None:
    good = results_of(exchange(b"{}", "application/json", 200), samples.HOLDING)
    assert (report(good).headline, report(good).exit_code) == ("Passed: no check failed.", 0)
    cut = report(good, interrupted=True)
    assert (cut.headline, cut.exit_code) == ("Interrupted: 2 of 2 checks ran.", 130)


def test_strict_observed_makes_a_difference_a_failure() -> None:
    results = results_of(exchange(b"{}", "application/json", 200), samples.EVERY_END)[2:3]
    assert report(results).exit_code == 0
    assert [row.status for row in report(results, strict=True).results] == [Status.FAILED]


def test_level_is_that_of_the_breach() -> None:
    """A version's check whose value no version had breaks the host's contract."""
    check = samples.check(samples.host_is_of_today, Level.VERSION)
    row = report([Result(check, Status.FAILED, level=Level.HOST)]).results[0]
    assert (row.level_name, row.fails()) == ("host", True)


# Exchanges


def test_binary_answer_is_its_first_bytes_and_its_size() -> None:
    reported = broken(exchange(b"\x89PNG\r\n\x1a\n" + bytes(5000), "image/png"))
    assert "89 50 4e 47 0d 0a 1a 0a" in reported
    assert reported.endswith("[binary, 5,008 bytes]")
    assert reported.count("\n") < 12


def test_long_answer_is_cut() -> None:
    reported = broken(exchange(b"a" * 5_000_000))
    assert len(reported) < 10_000
    assert "5,000,000 bytes" in reported


def test_stream_is_shown_with_its_times() -> None:
    chunks = (Chunk(0.1, b"event: ping\n"), Chunk(0.2, b'\ndata: {"event": "x"}\n\ndata: {'))
    reported = broken(
        Exchange(
            Request("POST", "/"),
            200,
            (("Content-Type", "text/event-stream"),),
            chunks,
            "cut",
            "cut off",
        )
    )
    assert reported.splitlines()[3:] == [
        "   0.200 s  event: ping",
        '   0.200 s  data: {"event": "x"}',
        "   0.200 s  data: {  [no blank line after this]",
        "",
        "[cut off]",
    ]


def test_missing_response_is_shown_with_its_reason() -> None:
    reported = broken(
        exchange(b"", status=None, ended="cut", error="no answer after 5 s", seconds=5.0)
    )
    assert reported == "no answer after 5 s, after 5.000 s"


# Each report


def terminal(reported: Report) -> str:
    out = io.StringIO()
    TerminalReport(out).end(reported)
    return out.getvalue()


def test_terminal_has_a_line_for_each_check_and_explains_failures(every_end: Report) -> None:
    output = terminal(every_end)
    for row in every_end.results:
        assert len(re.findall(rf"^  \S {row.name}\b", output, re.MULTILINE)) >= 1
    for reported in (
        "expected status 200",
        "got      404",
        "written  FACTS 0 (document)",
        "passed   on Dify 0.6.4",
        "needs the host's",
    ):
        assert reported in output
    assert "It cost 3 images. It took 1.5 s." in output


def test_terminal_is_plain_and_harmless_off_a_terminal(every_end: Report) -> None:
    """No colours, and what a host sent neither steers the terminal nor counts as markup."""
    output = terminal(every_end)
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "\\x1b[31m\\u202e\\ud83d" in output
    assert "[red]{{ 7 * 7 }}]]>" in output
    output.encode()


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_come_on_a_terminal_unless_unwanted(
    variables: dict[str, str], coloured: bool, every_end: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    TerminalReport(out).end(every_end)
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", out.getvalue())) == coloured


def test_junit_counts_and_explains(every_end: Report) -> None:
    root = ET.fromstring(report_junit(every_end))
    suite = root[0]
    assert {
        name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")
    } == {"name": "samples", "tests": "6", "failures": "3", "errors": "1", "skipped": "2"}
    cases = {case.get("name"): case for case in suite}
    failure = cases["answer_is_200"].find("failure")
    assert failure is not None
    assert failure.get("message") == "expected status 200, got 404 (it is there to answer)"
    assert "expected: status 200" in (failure.text or "")
    assert "alert(1)" in (failure.text or "")
    difference = cases["host_is_of_today"].find("skipped")
    assert difference is not None
    assert "deployment difference" in (difference.get("message") or "")


def test_json_has_everything(every_end: Report) -> None:
    reported = json.loads(json.dumps(report_json(every_end)))
    by_level = {"document": 1, "host": 2, "version": 0, "deployment": 0}
    assert reported["counts"]["failed"] == {"all": 3, **by_level}
    assert [check["status"] for check in reported["checks"]] == [
        row.status.value for row in every_end.results
    ]
    assert reported["checks"][0]["exchange"] == reported["exchanges"][0]["number"] == 1
    assert reported["images"] == {"planned": 4, "cost": 3, "unanswered": 0}
    assert (reported["exit_code"], reported["passed"]) == (1, False)


class _Page(HTMLParser):
    """Collects what a page would run or fetch, its ids and the links within it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            elif name in ("src", "srcset", "action", "data"):
                self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_stands_alone_and_runs_nothing(every_end: Report) -> None:
    page = report_html(every_end)
    read = _Page(page)
    assert read.tags & {"script", "link", "img", "iframe", "object", "form", "base"} == set()
    assert read.fetched == []
    assert "@import" not in page
    assert "url(" not in page
    assert "<script>alert(1)</script> [red]{{ 7 * 7 }}]]>" in read.text


def test_page_shows_every_failure_and_each_exchange_once(every_end: Report) -> None:
    page = report_html(every_end)
    read = _Page(page)
    assert len(set(read.ids)) == len(read.ids)
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert read.ids.count("exchange-1") == 1
    for reported in (
        "Failed: 3 of 6 checks failed, 1 was not run.",
        "What failed",
        "What was not run",
    ):
        assert reported in read.text
    for row in every_end.results:
        assert row.sentence in read.text


def test_page_of_a_host_that_holds_has_no_failures() -> None:
    read = _Page(
        report_html(report(results_of(exchange(b"{}", "application/json", 200), samples.HOLDING)))
    )
    assert "Passed: no check failed." in read.text
    assert "What failed" not in read.text
    assert "Every check" in read.text


def test_page_of_a_run_without_results() -> None:
    """Neither the budget nor Ctrl-C leaves an exchange to show; the page says so all the same."""
    checks = samples.checks(samples.check(samples.evidence_is_missing))
    results = [
        replace(result, exchange=None)
        for result in results_of(exchange(b"{}", "application/json", 200), checks)
    ]
    reported = report(results)
    assert reported.headline == "No check failed, but 1 was not run."
    for page in (report_html(reported), report_html(report(results, interrupted=True))):
        assert "What was not run" in page
