"""Authorization: what the host lets in, and that it checks the key before all else (FACTS 3, rows 1
and 2).
"""

from __future__ import annotations

from contract.check import Level, free_check
from contract.errors import CLIENT_ERRORS, error
from contract.evidence import send_once
from contract.request_checks import MakeRequest, Row, add_rows, run_with
from contract.result import expect_equal, expect_version
from contract.target import Target
from dify_wire.exchange import Request
from dify_wire.profile import Profile

UNKNOWN = "app-000000000000000000000000"
"""A key of the host's form that no app has."""

_BEARER = "openapi.yaml#/components/securitySchemes/bearer (document lines 9-10)"
_NO_BEARER, _UNKNOWN_KEY = error("auth_header_missing"), error("token_unknown")


def _info_with(authorization: str) -> MakeRequest:
    """The app's name under an unusual Authorization: here it costs nothing to be let in."""

    def make(target: Target) -> Request:
        value = authorization.replace("KEY", target.capabilities.api_key)
        return Request("GET", "/v1/info", (("Authorization", value),))

    return make


# fmt: off
add_rows(__name__, [
    Row("run_without_a_key_is_refused", "A run without an Authorization header is not carried out.",
        _BEARER, run_with(None), status=CLIENT_ERRORS, level=Level.DOCUMENT),
    Row("run_with_a_wrong_key_is_refused",
        "A run with a key that the host never gave out is not carried out.",
        _BEARER, run_with(f"Bearer {UNKNOWN}"), status=CLIENT_ERRORS, level=Level.DOCUMENT),
    Row("missing_authorization_is_401",
        "Without an Authorization header the host says that it must start with 'Bearer'.",
        "FACTS 3, row 1 (recorded: auth_none)", run_with(None), _NO_BEARER),
    Row("empty_authorization_is_401", "An empty Authorization header counts as none.",
        "FACTS 3, row 1 (recorded: auth_empty)", run_with(""), _NO_BEARER),
    Row("bearer_without_key_is_401", "The word Bearer without a key counts as no Authorization.",
        "FACTS 3, row 1 (recorded: auth_bearer_only)", run_with("Bearer"), _NO_BEARER),
    Row("key_without_bearer_is_401", "The right key without Bearer counts as no Authorization.",
        "FACTS 3, row 1 (recorded: auth_raw_key)", run_with("KEY"), _NO_BEARER),
    Row("other_scheme_is_401", "Another scheme than Bearer has an error of its own.",
        "FACTS 3, row 1 (recorded: auth_basic)",
        run_with("Basic dXNlcjpwYXNz"), error("auth_scheme_wrong")),
    Row("unknown_key_is_401", "A key that no app has is an invalid access token.",
        "FACTS 3, row 2 (recorded: auth_unknown)", run_with(f"Bearer {UNKNOWN}"), _UNKNOWN_KEY),
    Row("word_after_the_key_is_401", "A word after the right key makes it an invalid access token.",
        "FACTS 3, row 2 (recorded: auth_extra_word)", run_with("Bearer KEY x"), _UNKNOWN_KEY),
    Row("authorization_is_checked_before_the_body",
        "Without a key a body that is not JSON at all is still a 401.",
        "FACTS 3, order (recorded: auth_none_malformed)",
        run_with(None, body=b"{"), _NO_BEARER),
    Row("authorization_is_checked_before_the_content_type",
        "With an unknown key a request without a Content-Type is still a 401.",
        "FACTS 3, order (recorded: auth_unknown_noct)",
        run_with("Bearer nope", None), _UNKNOWN_KEY),
    Row("bearer_in_lower_case_is_accepted", "The case of the word bearer does not matter.",
        "FACTS 3, accepted variants", _info_with("bearer KEY"), status=200),
    Row("two_spaces_before_the_key_are_accepted",
        "The number of spaces between Bearer and the key does not matter.",
        "FACTS 3, accepted variants (recorded: auth_twospaces)",
        _info_with("Bearer  KEY"), status=200),
])
# fmt: on


@free_check(Level.VERSION, "FACTS 1.1 and 9.2")
def wrong_key_gets_the_hosts_challenge(target: Target) -> None:
    """A 401 carries WWW-Authenticate where the host's version sends one."""
    response = send_once(target, run_with(f"Bearer {UNKNOWN}")(target))
    expect_equal(response.status, 401, "status", response)

    def challenge(profile: Profile) -> object:
        return profile.fact("http.www_authenticate")

    got = response.header("WWW-Authenticate")
    expect_version(got, challenge, "WWW-Authenticate", target.basis, response)
