"""Routing: which methods and paths there are, and what the others are answered (FACTS 2)."""

from __future__ import annotations

from urllib.parse import urlsplit

from contract.check import Level, free_check
from contract.error_body import NO_METHOD, expect_refused
from contract.result import expect, expect_equal
from contract.target import RUN_PATH, Target, is_accepted_run
from dify_wire.exchange import Exchange, Request

_GREETING = "/v1/"


def _expect_no_method(answer: Exchange, *allowed: str) -> None:
    expect_refused(answer, NO_METHOD)
    _expect_allowed(answer, *allowed)


def _expect_allowed(answer: Exchange, *allowed: str) -> None:
    """The order of the words is a set's, so that it differs between processes (FACTS 1.9)."""
    told = {word.strip() for word in (answer.header("Allow") or "").split(",")}
    expect(told == set(allowed), f"Allow: {', '.join(allowed)}", answer.header("Allow"), answer)


def _expect_page(answer: Exchange, status: int, title: str) -> None:
    expect(
        not is_accepted_run(answer),
        f"status {status}",
        "status 200: the host took it for a run",
        answer,
    )
    expect_equal(answer.status, status, "status", answer)
    expect_equal(answer.media_type, "text/html", "content type", answer)
    expect(
        f"<title>{title}</title>" in answer.text,
        f"a page with the title {title}",
        answer.text,
        answer,
    )


def _greeting(target: Target) -> Exchange:
    found: Exchange = target.shared("greeting", lambda: target.send(target.get_request(_GREETING)))
    return found


@free_check(Level.HOST, "FACTS 2 (recorded: method_GET)")
def get_on_the_run_path_is_405(target: Target) -> None:
    """A run cannot be got."""
    _expect_no_method(target.send(target.get_request(RUN_PATH)), "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2 (recorded: method_PUT)")
def put_on_the_run_path_is_405(target: Target) -> None:
    """A run cannot be put."""
    _expect_no_method(target.send(target.get_request(RUN_PATH, method="PUT")), "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2 (recorded: method_DELETE)")
def delete_on_the_run_path_is_405(target: Target) -> None:
    """A run cannot be deleted."""
    _expect_no_method(target.send(target.get_request(RUN_PATH, method="DELETE")), "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2")
def patch_on_the_run_path_is_405(target: Target) -> None:
    """A run cannot be patched."""
    _expect_no_method(target.send(target.get_request(RUN_PATH, method="PATCH")), "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2 (recorded: method_HEAD)")
def head_on_the_run_path_is_405_without_body(target: Target) -> None:
    """HEAD is refused as GET is, without the body."""
    answer = target.send(target.get_request(RUN_PATH, method="HEAD"))
    expect_equal(answer.status, 405, "status", answer)
    expect_equal(answer.body, b"", "body", answer)
    _expect_allowed(answer, "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2 (recorded: method_OPTIONS_noauth)")
def options_needs_no_key(target: Target) -> None:
    """OPTIONS on the run's path is answered without a key: 200, empty, with Allow."""
    answer = target.send(Request("OPTIONS", RUN_PATH))
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.body, b"", "body", answer)
    _expect_allowed(answer, "POST", "OPTIONS")


@free_check(Level.HOST, "FACTS 2 (recorded: path_trailing_slash)")
def run_path_with_a_slash_at_its_end_is_404(target: Target) -> None:
    """The run's path with a slash at its end is another path, and no redirect leads from it."""
    run = target.run_request()
    _expect_page(
        target.send(Request(run.method, f"{RUN_PATH}/", run.headers, run.body)),
        404,
        "404 Not Found",
    )


@free_check(Level.HOST, "FACTS 2 (recorded: get_unknown)")
def unknown_path_is_an_html_404(target: Target) -> None:
    """A path that is none is answered with a page, not with JSON."""
    _expect_page(target.send(target.get_request("/v1/nope")), 404, "404 Not Found")


@free_check(Level.HOST, "FACTS 2 (recorded: get_unknown_noauth)")
def unknown_path_needs_no_key(target: Target) -> None:
    """A path that is none is a 404 without a key too, not a 401."""
    _expect_page(target.send(Request("GET", "/v1/nope")), 404, "404 Not Found")


@free_check(Level.HOST, "FACTS 2 (recorded: post_unknown)")
def post_to_an_unknown_path_is_an_html_404(target: Target) -> None:
    """A run request to a path that is none is answered with the same page."""
    run = target.run_request()
    _expect_page(
        target.send(Request("POST", "/v1/nope", run.headers, run.body)), 404, "404 Not Found"
    )


@free_check(Level.HOST, "FACTS 2 (recorded: get_v1s)")
def greeting_welcomes(target: Target) -> None:
    """The API's root says what it is."""
    answer = _greeting(target)
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.media_type, "application/json", "content type", answer)
    expect_equal(
        list(answer.json_object()), ["welcome", "api_version", "server_version"], "members", answer
    )
    expect_equal(answer.json_object().get("welcome"), "Dify OpenAPI", "welcome", answer)
    expect_equal(answer.json_object().get("api_version"), "v1", "api_version", answer)


@free_check(Level.HOST, "FACTS 1.1 and 2 (recorded: get_v1s)")
def greeting_and_header_name_one_version(target: Target) -> None:
    """The version in the greeting is the one in the header X-Version."""
    answer = _greeting(target)
    expect_equal(
        answer.json_object().get("server_version"),
        answer.header("X-Version"),
        "server_version",
        answer,
    )


@free_check(Level.HOST, "FACTS 2 (recorded: post_v1s)")
def post_to_the_greeting_is_405(target: Target) -> None:
    """The API's root can only be got."""
    run = target.run_request()
    _expect_no_method(
        target.send(Request("POST", _GREETING, run.headers, run.body)), "GET", "HEAD", "OPTIONS"
    )


@free_check(Level.HOST, "FACTS 2 (recorded: get_v1)")
def root_without_slash_redirects_to_the_greeting(target: Target) -> None:
    """/v1 leads to /v1/ for good."""
    answer = target.send(target.get_request("/v1"))
    expect_equal(answer.status, 308, "status", answer)
    location = answer.header("Location")
    expect(
        urlsplit(location or "").path == _GREETING,
        f"a Location with the path {_GREETING}",
        location,
        answer,
    )


@free_check(Level.HOST, "FACTS 2 (recorded: path_double_slash)")
def doubled_slash_redirects_to_the_run_path(target: Target) -> None:
    """The run's path with a doubled slash leads to the right one, and runs nothing."""
    run = target.run_request()
    answer = target.send(
        Request(run.method, RUN_PATH.replace("/v1/", "/v1//"), run.headers, run.body)
    )
    expect(
        not is_accepted_run(answer), "status 308", "status 200: the host took it for a run", answer
    )
    expect_equal(answer.status, 308, "status", answer)
    location = answer.header("Location")
    expect(
        urlsplit(location or "").path == RUN_PATH,
        f"a Location with the path {RUN_PATH}",
        location,
        answer,
    )
