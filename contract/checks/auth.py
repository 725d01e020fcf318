"""Authorization: what the host lets in, and that it judges the key before all else (FACTS 3, rows 1
and 2).
"""

from __future__ import annotations

from contract.check import Level, free_check
from contract.error_body import (
    NO_BEARER,
    OTHER_SCHEME,
    UNKNOWN_KEY,
    expect_refused,
    expect_some_refusal,
)
from contract.result import expect_equal, expect_version
from contract.target import Target
from dify_wire.exchange import Exchange, Request

UNKNOWN = "app-000000000000000000000000"
"""A key of the host's form that no app has."""


def _run_with(target: Target, authorization: str | None) -> Exchange:
    """A whole run request whose Authorization is another, or none; asked once."""
    run = target.run_request()
    headers = tuple((name, value) for name, value in run.headers if name != "Authorization")
    if authorization is not None:
        headers += (("Authorization", authorization),)
    request = Request(run.method, run.path, headers, run.body)
    found: Exchange = target.shared(
        f"run with Authorization {authorization}", lambda: target.send(request)
    )
    return found


def _info_with(target: Target, authorization: str) -> Exchange:
    """The app's name, asked for under an unusual Authorization: being let in costs no picture
    here.
    """
    return target.send(Request("GET", "/v1/info", (("Authorization", authorization),)))


@free_check(Level.DOCUMENT, "openapi.yaml#/components/securitySchemes/bearer (document lines 9-10)")
def run_without_a_key_is_refused(target: Target) -> None:
    """A run without an Authorization header is not carried out."""
    expect_some_refusal(_run_with(target, None))


@free_check(Level.DOCUMENT, "openapi.yaml#/components/securitySchemes/bearer (document lines 9-10)")
def run_with_a_wrong_key_is_refused(target: Target) -> None:
    """A run with a key that the host never gave out is not carried out."""
    expect_some_refusal(_run_with(target, f"Bearer {UNKNOWN}"))


@free_check(Level.HOST, "FACTS 3, row 1 (recorded: auth_none)")
def missing_authorization_is_401(target: Target) -> None:
    """Without an Authorization header the host says that it must be there and start with
    'Bearer'.
    """
    expect_refused(_run_with(target, None), NO_BEARER)


@free_check(Level.HOST, "FACTS 3, row 1 (recorded: auth_empty)")
def empty_authorization_is_401(target: Target) -> None:
    """An empty Authorization header counts as none."""
    expect_refused(_run_with(target, ""), NO_BEARER)


@free_check(Level.HOST, "FACTS 3, row 1 (recorded: auth_bearer_only)")
def bearer_without_key_is_401(target: Target) -> None:
    """The word Bearer without a key after it counts as no Authorization."""
    expect_refused(_run_with(target, "Bearer"), NO_BEARER)


@free_check(Level.HOST, "FACTS 3, row 1 (recorded: auth_raw_key)")
def key_without_bearer_is_401(target: Target) -> None:
    """The right key without the word Bearer before it counts as no Authorization."""
    expect_refused(_run_with(target, target.capabilities.api_key), NO_BEARER)


@free_check(Level.HOST, "FACTS 3, row 1 (recorded: auth_basic)")
def other_scheme_is_401(target: Target) -> None:
    """Another scheme than Bearer is named as the trouble."""
    expect_refused(_run_with(target, "Basic dXNlcjpwYXNz"), OTHER_SCHEME)


@free_check(Level.HOST, "FACTS 3, row 2 (recorded: auth_unknown)")
def unknown_key_is_401(target: Target) -> None:
    """A key that no app has is an invalid access token."""
    expect_refused(_run_with(target, f"Bearer {UNKNOWN}"), UNKNOWN_KEY)


@free_check(Level.HOST, "FACTS 3, row 2 (recorded: auth_extra_word)")
def word_after_the_key_is_401(target: Target) -> None:
    """A word after the right key makes it an invalid access token."""
    expect_refused(_run_with(target, f"Bearer {target.capabilities.api_key} x"), UNKNOWN_KEY)


@free_check(Level.HOST, "FACTS 3, order (recorded: auth_none_malformed)")
def authorization_is_judged_before_the_body(target: Target) -> None:
    """Without a key a body that is no JSON at all is still a 401."""
    request = Request(
        "POST", target.run_request().path, (("Content-Type", "application/json"),), b"{"
    )
    expect_refused(target.send(request), NO_BEARER)


@free_check(Level.HOST, "FACTS 3, order (recorded: auth_unknown_noct)")
def authorization_is_judged_before_the_content_type(target: Target) -> None:
    """With an unknown key a request without a Content-Type is still a 401."""
    run = target.run_request()
    expect_refused(
        target.send(Request("POST", run.path, (("Authorization", "Bearer nope"),), run.body)),
        UNKNOWN_KEY,
    )


@free_check(Level.HOST, "FACTS 3, accepted variants")
def bearer_in_lower_case_is_accepted(target: Target) -> None:
    """The case of the word bearer does not matter."""
    answer = _info_with(target, f"bearer {target.capabilities.api_key}")
    expect_equal(answer.status, 200, "status", answer)


@free_check(Level.HOST, "FACTS 3, accepted variants (recorded: auth_twospaces)")
def two_spaces_before_the_key_are_accepted(target: Target) -> None:
    """How many spaces part Bearer from the key does not matter."""
    answer = _info_with(target, f"Bearer  {target.capabilities.api_key}")
    expect_equal(answer.status, 200, "status", answer)


@free_check(Level.VERSION, "FACTS 1.1 and 9.2")
def refused_key_meets_no_challenge(target: Target) -> None:
    """A 401 carries no WWW-Authenticate header."""
    answer = _run_with(target, f"Bearer {UNKNOWN}")
    expect_equal(answer.status, 401, "status", answer)
    challenges = {"0.6.4": None, "1.10.1": 'Bearer realm="api"'}
    expect_version(answer.header("WWW-Authenticate"), challenges, "WWW-Authenticate", answer)
