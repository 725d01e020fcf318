"""CORS: which origins a response allows, and which responses allow none (FACTS 1.8)."""

from __future__ import annotations

from contract import evidence
from contract.check import Capability, Level, check, free_check
from contract.evidence import send_once
from contract.request_checks import MakeRequest, Row, add_rows, request, run_with, with_key
from contract.result import NotRun, expect, expect_equal
from contract.target import RUN_PATH, Target

ORIGIN = "https://shop.example"
UNSIGNED = (
    "/files/tools/310f6ce5-1571-4c46-9c01-bb4acdf8c861.png"
    "?timestamp=1795330150&nonce=3e3860dfd642298100d159b4241f9650&sign=x"
)
"""An image's URL in the host's form without a valid signature; just this one was recorded."""

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"


def _refused_run(origin: str | None = None) -> MakeRequest:
    """A run that is refused, and costs nothing: an empty object lacks the user."""
    return run_with(origin=origin, body=b"{}")


def _preflight(headers: str) -> MakeRequest:
    method = ("Access-Control-Request-Method", "POST")
    wanted = ("Access-Control-Request-Headers", headers)
    return request("OPTIONS", RUN_PATH, (("Origin", ORIGIN), method, wanted))


_RUN_PREFLIGHT = _preflight("authorization,content-type")

# fmt: off
add_rows(__name__, [
    Row("response_without_origin_allows_any",
        "Without an Origin a response, here an error, allows any.",
        "FACTS 1.8 (recorded: user_missing)", _refused_run(), headers={_ALLOW_ORIGIN: "*"}),
    Row("origin_is_echoed", "A response, here an error, allows the Origin of its request.",
        "FACTS 1.8 (recorded: cors_err)", _refused_run(ORIGIN), headers={_ALLOW_ORIGIN: ORIGIN}),
    Row("origin_null_is_echoed", "The Origin null, of a page from a file, is echoed as any other.",
        "FACTS 1.8 (captured on 0.6.4: cors_post_null)",
        _refused_run("null"), headers={_ALLOW_ORIGIN: "null"}),
    Row("credentials_are_not_allowed", "A browser must not send cookies.",
        "FACTS 1.8 (recorded: cors_err)",
        _refused_run(ORIGIN), headers={"Access-Control-Allow-Credentials": None}),
    Row("refused_key_echoes_the_origin", "A browser may read a 401 too.",
        "FACTS 1.8 (captured on 0.6.4: cors_401)",
        run_with(None, origin=ORIGIN), status=401, headers={_ALLOW_ORIGIN: ORIGIN}),
    Row("refused_file_echoes_the_origin",
        "Files are for browsers too: the response to an unsigned URL allows the Origin.",
        "FACTS 1.8 (recorded: file_origin_err)",
        request("GET", UNSIGNED, (("Origin", ORIGIN),)), headers={_ALLOW_ORIGIN: ORIGIN}),
    Row("preflight_is_200_and_empty", "A preflight needs no key, and gets 200 with no body.",
        "FACTS 1.8 (recorded: cors_preflight)", _RUN_PREFLIGHT, status=200, body=b""),
    Row("preflight_allows_the_origin", "A preflight allows the Origin that asks.",
        "FACTS 1.8 (recorded: cors_preflight)", _RUN_PREFLIGHT, headers={_ALLOW_ORIGIN: ORIGIN}),
    Row("preflight_allows_the_six_methods",
        "A preflight allows every method that any path of the API has.",
        "FACTS 1.8 (recorded: cors_preflight)", _RUN_PREFLIGHT,
        lists={"Access-Control-Allow-Methods": "DELETE GET OPTIONS PATCH POST PUT"}),
    Row("preflight_allows_key_and_json",
        "A preflight allows the headers that a run needs, written as in the request.",
        "FACTS 1.8 (recorded: cors_preflight)", _RUN_PREFLIGHT,
        lists={"Access-Control-Allow-Headers": "authorization content-type"}),
    Row("preflight_allows_no_other_headers",
        "Of the requested headers, a preflight allows those that it knows.",
        "FACTS 1.8 (recorded: cors_preflight_otherhdr)", _preflight("x-foo, x-app-code"),
        lists={"Access-Control-Allow-Headers": "x-app-code"}),
    Row("unknown_path_allows_no_origin", "A path that does not exist allows no origin.",
        "FACTS 1.8 (recorded: get_unknown)",
        with_key("GET", "/v1/nope"), status=404, headers={_ALLOW_ORIGIN: None}),
    Row("refused_method_allows_no_origin", "A refused method allows no origin.",
        "FACTS 1.8 (recorded: method_GET)",
        with_key("GET", RUN_PATH), status=405, headers={_ALLOW_ORIGIN: None}),
])
# fmt: on


@free_check(Level.HOST, "FACTS 1.8 (recorded: cors_err)")
def echoed_origin_varies(target: Target) -> None:
    """Where the Origin is echoed, Vary names it for caches."""
    response = send_once(target, _refused_run(ORIGIN)(target))
    words = [word.strip() for word in (response.header("Vary") or "").split(",")]
    expect("Origin" in words, "Vary: Origin", response.header("Vary"), response)


@check(Level.HOST, "FACTS 1.8 (recorded: file_ok)", Capability.IMAGE)
def image_allows_any_origin(target: Target) -> None:
    """Without an Origin an image allows any."""
    response = evidence.image(target)
    if response.status != 200:
        raise NotRun("there is no image to check", response)
    expect_equal(response.header(_ALLOW_ORIGIN), "*", _ALLOW_ORIGIN, response)
