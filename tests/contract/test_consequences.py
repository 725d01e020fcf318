"""One cause is reported once, with what follows from it below: in results, and in every report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from contract.check import Check, Level
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.report.builder import Report
from contract.report.files import report_html, report_json, report_junit
from contract.report.terminal import TerminalReport
from contract.result import Result, Status
from contract.runner import run_checks, with_causes
from contract.target import Capabilities, Target
from dify_wire.exchange import Exchange, Request
from fake_server.settings import DEFAULT_API_KEY
from tests.contract.test_reports import report
from tests.mutants.edits import change
from tests.mutants.middleware import Request as MutantRequest
from tests.mutants.middleware import Response, Wrap, change_responses
from tests.mutants.mutant import RHYTHM
from tests.mutants.serving import APP_KEYS, SECRET, serving, untouched

PICTURE = Exchange(Request("GET", "/files/tools/a.png"), 404)
OTHER = Exchange(Request("GET", "/files/tools/b.png"), 404)


def named(name: str, **more: Any) -> Check:
    return Check(name, "It is so.", Level.HOST, "FACTS 0", lambda _: None, "samples", **more)


def failed(name: str, exchange: Exchange | None = None, **more: Any) -> Result:
    return Result(
        named(name, **more),
        Status.FAILED,
        0.0,
        f"{name} is wrong",
        "right",
        "wrong",
        exchange=exchange,
    )


def not_run(
    name: str, exchange: Exchange | None = None, reason: str = "no evidence", **more: Any
) -> Result:
    return Result(named(name, **more), Status.NOT_RUN, 0.0, reason, exchange=exchange)


def follows(*results: Result) -> dict[str, str]:
    return {result.check.name: result.follows for result in with_causes(results)}


# Results


def test_what_shows_a_settled_exchange_follows() -> None:
    serves = failed("serves", PICTURE, settles=True)
    reported = follows(
        failed("whole", PICTURE), serves, not_run("decodes", PICTURE), failed("else", OTHER)
    )
    assert reported == {"whole": "serves", "serves": "", "decodes": "serves", "else": ""}


def test_declared_cause_counts_only_where_it_failed() -> None:
    sent = {"follows_from": ("signed", "served")}
    assert follows(failed("signed", PICTURE), failed("valid", OTHER, **sent))["valid"] == "signed"
    assert follows(failed("served"), failed("valid", OTHER, **sent))["valid"] == "served"
    passed = Result(named("signed"), Status.PASSED)
    assert follows(passed, not_run("served"), failed("valid", OTHER, **sent))["valid"] == ""


def test_chain_of_causes_leads_to_its_beginning() -> None:
    first = failed("first")
    second = failed("second", PICTURE, settles=True, follows_from=("first",))
    assert follows(not_run("third", PICTURE), second, first) == {
        "third": "first",
        "second": "first",
        "first": "",
    }


def test_two_that_name_each_other_are_both_reported_once() -> None:
    reported = follows(failed("a", follows_from=("b",)), failed("b", follows_from=("a",)))
    assert set(reported.values()) == {"a", "b"}


def test_not_run_follows_from_what_failed_on_its_evidence() -> None:
    reported = follows(
        failed("field", PICTURE), not_run("value", PICTURE), not_run("budget", reason="spent")
    )
    assert reported == {"field": "", "value": "field", "budget": ""}


def test_difference_between_versions_is_no_cause() -> None:
    differs = replace(failed("differs", PICTURE, settles=True), status=Status.DIFFERS)
    assert follows(differs, failed("other", PICTURE)) == {"differs": "", "other": ""}


def test_every_declared_cause_is_a_check() -> None:
    checks = CHECKS
    assert {name for one in checks.values() for name in one.follows_from} <= set(checks)
    assert CHECKS.keys() == checks.keys()


# Reports


@pytest.fixture
def nested() -> Report:
    results = [
        failed("serves", PICTURE, settles=True),
        failed("head", OTHER, follows_from=("serves",)),
        not_run("decodes", PICTURE),
        Result(named("else"), Status.PASSED),
    ]
    return report(with_causes(results))


def test_account_counts_causes(nested: Report) -> None:
    assert [row.status for row in nested.results] == [
        Status.FAILED,
        Status.FOLLOWS,
        Status.FOLLOWS,
        Status.PASSED,
    ]
    assert nested.headline == "Failed: 1 of 4 checks failed, 2 more follow from that."
    assert (nested.exit_code, [row.name for row in nested.failures]) == (1, ["serves"])


def test_terminal_lists_consequences_below_their_cause(nested: Report) -> None:
    out = io.StringIO()
    TerminalReport(out).end(nested)
    reported = out.getvalue()
    assert "head  follows from serves" in reported
    assert "follows  head: expected right, got wrong" in reported
    assert "follows  1 check not run: decodes" in reported


def test_junit_has_one_failure_that_tells_the_rest(nested: Report) -> None:
    root = ET.fromstring(report_junit(nested))
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("1", "0", "2")
    assert "follows:  head: head is wrong" in (root.find(".//failure").text or "")  # type: ignore[union-attr]  # it is there
    assert [one.get("message") for one in root.iter("skipped")] == [
        "follows from serves: head is wrong",
        "follows from serves: no evidence",
    ]


def test_json_names_the_cause(nested: Report) -> None:
    reported = report_json(nested)
    assert [check["follows_from"] for check in reported["checks"]] == [
        None,
        "serves",
        "serves",
        None,
    ]
    assert [check["fails"] for check in reported["checks"]] == [True, False, False, False]
    assert reported["counts"]["follows"]["all"] == 2


def test_page_nests_them(nested: Report) -> None:
    page = report_html(nested)
    assert page.count('<article class="finding') == 1
    assert "2 more checks follow from this" in page


# Hosts


def results_of(wrap: Wrap, speed: float | None = None, **capabilities: Any) -> list[Result]:
    checks = [one for one in CHECKS.values() if not one.slow]
    with serving(wrap, speed) as url:
        transport = HttpTransport(url)
        results = run_checks(
            Target(
                transport, replace(Capabilities(DEFAULT_API_KEY, SECRET, APP_KEYS), **capabilities)
            ),
            checks,
        )
        transport.close()
    return with_causes(results)


def roots(results: Sequence[Result]) -> dict[str, int]:
    """The failures that follow from no other, and how many follow from each."""
    causes = [result.check.name for result in results if result.fails() and not result.follows]
    return {name: sum(result.follows == name for result in results) for name in causes}


def reported(status: int, code: str, message: str) -> Response:
    body = f'{{"code": "{code}", "message": "{message}", "status": {status}}}\n'
    return Response(status, ((b"content-type", b"application/json"),), body.encode())


def images_gone(request: MutantRequest, response: Response) -> Response:
    gone = request.is_file and response.status == 200 and request.method != "OPTIONS"
    return reported(404, "not_found", "File not found") if gone else response


def model_required(request: MutantRequest, response: Response) -> Response:
    inputs = request.fields.get("inputs")
    if (
        request.is_run
        and response.status == 200
        and isinstance(inputs, dict)
        and "model_name" not in inputs
    ):
        return reported(400, "invalid_param", "model_name is required in input form")
    if request.path == "/v1/parameters" and response.status == 200:
        return response.with_json(
            change("user_input_form.1.select.required", lambda _: True)(response.json)
        )
    return response


@pytest.mark.server
def test_wrong_secret_is_one_failure_of_five() -> None:
    assert roots(results_of(untouched, secret=SECRET + "x")) == {"urls_are_signed_by_the_recipe": 4}


@pytest.mark.server
def test_images_that_are_gone_are_one_failure() -> None:
    found = roots(results_of(change_responses(lambda: images_gone)))
    assert list(found) == ["url_serves_the_image_without_a_key"]
    assert found["url_serves_the_image_without_a_key"] > 20


@pytest.mark.server
def test_model_that_has_to_be_named_is_two_failures() -> None:
    found = roots(results_of(change_responses(lambda: model_required, streams=True)))
    assert list(found) == ["form_leaves_the_model_open", "streaming_run_is_200"]


@pytest.mark.server
def test_proxy_that_buffers_is_named_with_its_times() -> None:
    """It holds each stream back until its end; whatever is measured by arrival follows from
    that.
    """
    results = results_of(
        change_responses(lambda: lambda _, response: response, streams=True), RHYTHM
    )
    found = roots(results)
    assert list(found) == ["first_frame_comes_at_once"]
    cause = next(result for result in results if result.check.name == "first_frame_comes_at_once")
    assert cause.why.startswith("something buffers the stream: ")
    assert " s came within 0.0" in cause.why
    assert "proxy_buffering off" in cause.why
    runs = next(
        result
        for result in results
        if result.check.name == "runs_at_once_do_not_wait_for_each_other"
    )
    assert (runs.status, runs.follows) == (Status.FOLLOWS, "first_frame_comes_at_once")
