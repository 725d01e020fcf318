"""CORS: what a browser is told, and on which answers it is told nothing (FACTS 1.8)."""

from __future__ import annotations

from contract import evidence
from contract.check import Level, check, free_check
from contract.result import NotRun, expect, expect_equal
from contract.target import RUN_PATH, Target
from dify_wire.exchange import Exchange, Request

ORIGIN = "https://shop.example"
UNSIGNED = (
    "/files/tools/310f6ce5-1571-4c46-9c01-bb4acdf8c861.png"
    "?timestamp=1795330150&nonce=3e3860dfd642298100d159b4241f9650&sign=x"
)
"""A picture's URL of the host's form that nobody signed; just this one was recorded."""


def _refused(target: Target, origin: str | None = None) -> Exchange:
    """A refused run: an empty object lacks the user, and costs nothing."""
    request = target.json_request("POST", RUN_PATH, {})
    if origin is not None:
        request = request.with_header("Origin", origin)
    found: Exchange = target.shared(f"refused run from {origin}", lambda: target.send(request))
    return found


def _preflight(target: Target, headers: str) -> Exchange:
    asked = (
        ("Origin", ORIGIN),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", headers),
    )
    found: Exchange = target.shared(
        f"preflight for {headers}", lambda: target.send(Request("OPTIONS", RUN_PATH, asked))
    )
    return found


def _expect_header(answer: Exchange, name: str, value: str | None) -> None:
    expect_equal(answer.header(name), value, name, answer)


def _words(answer: Exchange, name: str) -> set[str]:
    return {word.strip() for word in (answer.header(name) or "").split(",") if word.strip()}


@free_check(Level.HOST, "FACTS 1.8 (recorded: user_missing)")
def answer_without_origin_is_for_any(target: Target) -> None:
    """Without an Origin the answer, here an error, is for any."""
    _expect_header(_refused(target), "Access-Control-Allow-Origin", "*")


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_err)")
def origin_is_echoed(target: Target) -> None:
    """The Origin of a request stands in the answer, here an error."""
    _expect_header(_refused(target, ORIGIN), "Access-Control-Allow-Origin", ORIGIN)


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_err)")
def echoed_origin_varies(target: Target) -> None:
    """Where the Origin is echoed, a cache is told that it varies."""
    answer = _refused(target, ORIGIN)
    expect("Origin" in _words(answer, "Vary"), "Vary: Origin", answer.header("Vary"), answer)


@free_check(Level.HOST, "FACTS 1.8 (captured on 0.6.4: cors_post_null)")
def origin_null_is_echoed(target: Target) -> None:
    """The Origin null, of a page from a file, is echoed as any other."""
    _expect_header(_refused(target, "null"), "Access-Control-Allow-Origin", "null")


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_err)")
def credentials_are_not_allowed(target: Target) -> None:
    """A browser is not told that it may send cookies."""
    _expect_header(_refused(target, ORIGIN), "Access-Control-Allow-Credentials", None)


@free_check(Level.HOST, "FACTS 1.8 (captured on 0.6.4: cors_401)")
def refused_key_echoes_the_origin(target: Target) -> None:
    """A browser may read a 401 too."""
    body = target.run_request()
    headers = (("Content-Type", "application/json"), ("Origin", ORIGIN))
    answer = target.send(Request("POST", RUN_PATH, headers, body.body))
    expect_equal(answer.status, 401, "status", answer)
    _expect_header(answer, "Access-Control-Allow-Origin", ORIGIN)


@free_check(Level.HOST, "FACTS 1.8 (recorded: file_origin_err)")
def refused_file_echoes_the_origin(target: Target) -> None:
    """Files are for browsers too: the Origin stands in the answer, here to a URL that is not
    signed.
    """
    answer = target.send(Request("GET", UNSIGNED, (("Origin", ORIGIN),)))
    _expect_header(answer, "Access-Control-Allow-Origin", ORIGIN)


@check(Level.HOST, "FACTS 1.8 (recorded: file_ok)")
def picture_is_for_any(target: Target) -> None:
    """Without an Origin a picture is for any."""
    answer = evidence.picture(target)
    if answer.status != 200:
        raise NotRun("there is no picture to judge", answer)
    _expect_header(answer, "Access-Control-Allow-Origin", "*")


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_preflight)")
def preflight_is_200_and_empty(target: Target) -> None:
    """A preflight needs no key, and is answered 200 with no body."""
    answer = _preflight(target, "authorization,content-type")
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.body, b"", "body", answer)


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_preflight)")
def preflight_allows_the_origin(target: Target) -> None:
    """A preflight allows the Origin that asks."""
    _expect_header(
        _preflight(target, "authorization,content-type"), "Access-Control-Allow-Origin", ORIGIN
    )


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_preflight)")
def preflight_allows_the_six_methods(target: Target) -> None:
    """A preflight allows every method that any path of the API has."""
    answer = _preflight(target, "authorization,content-type")
    allowed = _words(answer, "Access-Control-Allow-Methods")
    six = {"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"}
    expect(allowed == six, ", ".join(sorted(six)), ", ".join(sorted(allowed)), answer)


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_preflight)")
def preflight_allows_key_and_json(target: Target) -> None:
    """A preflight allows the headers that a run needs, written as they were asked for."""
    answer = _preflight(target, "authorization,content-type")
    allowed = _words(answer, "Access-Control-Allow-Headers")
    expect(
        allowed == {"authorization", "content-type"},
        "authorization, content-type",
        sorted(allowed),
        answer,
    )


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_preflight_otherhdr)")
def preflight_allows_no_other_headers(target: Target) -> None:
    """Of the headers that are asked for, a preflight allows those that it knows."""
    answer = _preflight(target, "x-foo, x-app-code")
    allowed = _words(answer, "Access-Control-Allow-Headers")
    expect(allowed == {"x-app-code"}, "x-app-code", sorted(allowed), answer)


@free_check(Level.HOST, "FACTS 1.8 (recorded: get_unknown)")
def unknown_path_tells_no_origin(target: Target) -> None:
    """A path that is none says nothing to a browser."""
    answer = target.send(target.get_request("/v1/nope"))
    expect_equal(answer.status, 404, "status", answer)
    _expect_header(answer, "Access-Control-Allow-Origin", None)


@free_check(Level.HOST, "FACTS 1.8 (recorded: method_GET)")
def refused_method_tells_no_origin(target: Target) -> None:
    """A refused method says nothing to a browser."""
    answer = target.send(target.get_request(RUN_PATH))
    expect_equal(answer.status, 405, "status", answer)
    _expect_header(answer, "Access-Control-Allow-Origin", None)
