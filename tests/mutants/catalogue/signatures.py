"""Signed URLs: what a host does not look at, looks at too much, or signs by another recipe."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.mutants.edits import edit_responses
from tests.mutants.file_urls import (
    BAD_SIGN,
    age_s,
    file_id,
    has_good_sign,
    now,
    parameters_of,
    signed,
    with_parameters,
)
from tests.mutants.middleware import (
    Request,
    RequestChange,
    Response,
    Wrap,
    chain,
    change_requests,
    change_responses,
)
from tests.mutants.mutant import Area
from tests.mutants.pngs import small_png
from tests.mutants.serving import SECRET

AREA = Area("signature")
_SIGNED = re.compile(
    rb"/files/tools/([0-9a-f-]{36})\.png\?timestamp=(\d+)&nonce=([0-9a-f]{32})"
    rb"&sign=([A-Za-z0-9_-]{43}=)"
)


def _file(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Request], Request],
) -> None:
    """The host gets ``instead`` of a request for a file that ``when`` picks."""

    def change(request: Request) -> Request:
        return (
            instead(request) if request.is_file and file_id(request) and when(request) else request
        )

    AREA.add(name, breaks, killers, change_requests(lambda: change))


def _has_all(request: Request) -> bool:
    return set(parameters_of(request)) >= {"timestamp", "nonce", "sign"}


def _lacks(parameter: str) -> Callable[[Request], bool]:
    return lambda request: parameter not in parameters_of(request)


def _is_empty(parameter: str) -> Callable[[Request], bool]:
    return lambda request: parameters_of(request).get(parameter) == ""


def _always(_: Request) -> bool:
    return True


_OTHER_FILE = "/files/tools/00000000-0000-4000-8000-000000000000.png"
_DAY_S = 86400


def _is_dated(request: Request) -> bool:
    """Whether the signature is right, and its timestamp a number."""
    return has_good_sign(request) and parameters_of(request)["timestamp"].isdigit()


def _signed_later(request: Request, seconds: int) -> Request:
    """As if it had been signed ``seconds`` later: it lives so much longer, by whatever clock."""
    return signed(request, timestamp=str(int(parameters_of(request)["timestamp"]) + seconds))


def _lives_on_in_use() -> RequestChange:
    used: set[str] = set()

    def change(request: Request) -> Request:
        if not (request.is_file and _is_dated(request)):
            return request
        again = request.query in used
        used.add(request.query)
        return _signed_later(request, _DAY_S) if again else request

    return change


def _file_is_forgotten() -> RequestChange:
    first: dict[str, int] = {}

    def change(request: Request) -> Request:
        if not (request.is_file and _is_dated(request)):
            return request
        at = int(parameters_of(request)["timestamp"])
        is_old = at > first.setdefault(file_id(request), at) + _DAY_S
        return signed(replace(request, path=_OTHER_FILE)) if is_old else request

    return change


def _expired(name: str, breaks: str, change: Callable[[Response], Response]) -> None:
    """The refusal of a URL that is too old, changed; of a bad one it stays as it is."""

    def change_response(request: Request, response: Response) -> Response:
        return (
            change(response)
            if request.is_file and response.status == 403 and has_good_sign(request)
            else response
        )

    AREA.add(name, breaks, "signed_urls_live_for_five_minutes", edit_responses(change_response))


def _known(change: Callable[[Request, dict[str, tuple[str, str, str]]], Request]) -> Wrap:
    """A host that looks a signature up among those it gave away: each with its file id, timestamp
    and nonce.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        given: dict[str, tuple[str, str, str]] = {}

        async def learning(scope: Scope, receive: Receive, send: Send) -> None:
            async def learn(message: Message) -> None:
                for found in _SIGNED.finditer(message.get("body", b"")):
                    file_id, timestamp, nonce, sign = (part.decode() for part in found.groups())
                    given[sign] = (file_id, timestamp, nonce)
                await send(message)

            await app(scope, receive, learn)

        def make() -> RequestChange:
            return lambda request: (
                change(request, given) if request.is_file and _has_all(request) else request
            )

        return change_requests(make)(learning)

    return wrap


def _nonce_ignored(request: Request, given: dict[str, tuple[str, str, str]]) -> Request:
    sign = parameters_of(request)["sign"]
    return with_parameters(request, nonce=given[sign][2]) if sign in given else request


def _timestamp_ignored(request: Request, given: dict[str, tuple[str, str, str]]) -> Request:
    sign = parameters_of(request)["sign"]
    return with_parameters(request, timestamp=given[sign][1]) if sign in given else request


def _file_id_ignored(request: Request, given: dict[str, tuple[str, str, str]]) -> Request:
    sign = parameters_of(request)["sign"]
    return replace(request, path=f"/files/tools/{given[sign][0]}.png") if sign in given else request


def _case_ignored(request: Request, given: dict[str, tuple[str, str, str]]) -> Request:
    sign = parameters_of(request)["sign"]
    return next(
        (with_parameters(request, sign=known) for known in given if known.lower() == sign.lower()),
        request,
    )


def _end_ignored(request: Request, given: dict[str, tuple[str, str, str]]) -> Request:
    sign = parameters_of(request)["sign"]
    return next(
        (with_parameters(request, sign=known) for known in given if known[:32] == sign[:32]),
        request,
    )


_Recipe = Callable[[str, str, str], str]


def _recipe(name: str, breaks: str, killers: str, sign: _Recipe) -> None:
    """A host that signs and verifies, both by ``sign`` of file id, timestamp and nonce."""

    def again(found: re.Match[bytes]) -> bytes:
        url = found[0].decode()
        parts = [part.decode() for part in found.groups()]
        return (url.partition("&sign=")[0] + "&sign=" + sign(*parts[:3])).encode()

    def wrap(app: ASGIApp) -> ASGIApp:
        async def signing(scope: Scope, receive: Receive, send: Send) -> None:
            async def sign_again(message: Message) -> None:
                if "body" in message:
                    message["body"] = _SIGNED.sub(again, message["body"])
                await send(message)

            await app(scope, receive, sign_again)

        return signing

    def understood(request: Request) -> Request:
        query = parameters_of(request)
        if not (request.is_file and file_id(request) and _has_all(request)):
            return request
        good = query["sign"] == sign(file_id(request), query["timestamp"], query["nonce"])
        return signed(request) if good else with_parameters(request, sign=BAD_SIGN)

    AREA.add(name, breaks, killers, chain(wrap, change_requests(lambda: understood)))


def _mac(key: str, message: str, digest: str = "sha256") -> str:
    return base64.urlsafe_b64encode(
        hmac.new(key.encode(), message.encode(), digest).digest()
    ).decode()


def _refused(
    name: str, breaks: str, killers: str, when: int, change: Callable[[Response], Response]
) -> None:
    """Answers about files with the status ``when``, changed."""

    def change_response(request: Request, response: Response) -> Response:
        return change(response) if request.is_file and response.status == when else response

    AREA.add(name, breaks, killers, edit_responses(change_response))


def _placeholder(response: Response) -> Response:
    return (
        Response(200, response.headers, response.body)
        .with_header("Content-Type", "image/png")
        .with_body(small_png())
    )


def _once() -> Callable[[Request, Response], Response]:
    seen: set[str] = set()

    def change_response(request: Request, response: Response) -> Response:
        if not request.is_file or response.status != 200 or request.method != "GET":
            return response
        again = request.query in seen
        seen.add(request.query)
        return (
            Response(403, response.headers, b"").with_header("Content-Type", "application/json")
            if again
            else response
        )

    return change_response


def _needs_key() -> RequestChange:
    return lambda request: (
        with_parameters(request, sign=BAD_SIGN)
        if request.is_file and request.header("authorization") is None
        else request
    )


def _as_get(request: Request) -> Request:
    return (
        replace(request, method="GET")
        if request.is_file and request.method in ("POST", "PUT", "DELETE")
        else request
    )


# fmt: off

# Not looked at
_file("signature_not_checked", "Any signature is good.", "changed_sign_is_403", _has_all, signed)
_file("nothing_checked", "Neither signature nor age nor presence is looked at.",
      "changed_sign_is_403", _always, lambda request: signed(request, timestamp=now()))
_file("age_not_checked", "A URL never expires.", "url_expires_after_300_seconds", has_good_sign,
      lambda request: signed(request, timestamp=now()) if age_s(request) > 0 else request)
_file("age_an_hour", "A URL lives for an hour.", "url_expires_after_300_seconds",
      lambda request: has_good_sign(request) and 0 < age_s(request) < 3600,
      lambda request: signed(request, timestamp=now()))
_file("age_30_s", "A URL lives for 30 s.", "url_is_valid_for_290_seconds",
      lambda request: has_good_sign(request) and age_s(request) > 30,
      lambda request: with_parameters(request, sign=BAD_SIGN))
_file("age_in_milliseconds",
      "The age is taken for milliseconds: a URL lives as long as its second.",
      "url_is_valid_for_290_seconds",
      lambda request: has_good_sign(request) and age_s(request) > 1.5,
      lambda request: with_parameters(request, sign=BAD_SIGN))
_file("future_refused", "A URL of the future is refused.", "url_of_the_future_is_valid",
      lambda request: has_good_sign(request) and age_s(request) < -5,
      lambda request: with_parameters(request, sign=BAD_SIGN))
for _parameter in ("timestamp", "nonce", "sign"):
    _file(
        f"{_parameter}_missing_accepted",
        f"A URL needs no {_parameter}.",
        f"missing_{_parameter}_is_400",
        _lacks(_parameter),
        lambda request: signed(request, timestamp=parameters_of(request).get("timestamp", now())),
    )
    _file(
        f"{_parameter}_missing_is_403",
        f"A URL without {_parameter} is refused like a bad one.",
        f"missing_{_parameter}_is_400",
        _lacks(_parameter),
        lambda request: with_parameters(request, timestamp=now(), nonce="0" * 32, sign=BAD_SIGN),
    )
_file("query_missing_accepted", "A URL without a query is served.",
      "missing_parameters_are_named_in_their_order", lambda request: not request.query,
      lambda request: signed(request, timestamp=now()))
_file("sign_empty_accepted", "An empty signature is good.", "empty_sign_is_403", _is_empty("sign"),
      signed)
_file("sign_unpadded_accepted", "A signature needs no = at its end.", "unpadded_sign_is_403",
      lambda request: len(parameters_of(request).get("sign", "")) == 43,
      lambda request: with_parameters(request, sign=parameters_of(request)["sign"] + "="))
_file("file_id_in_capitals_refused", "A URL with the file's id in capitals is refused.",
      "file_id_may_be_in_upper_case", lambda request: request.path != request.path.lower(),
      lambda request: with_parameters(request, sign=BAD_SIGN))
_file("extension_signed", "The extension is signed too.", "extension_is_not_signed",
      lambda request: not request.path.endswith(".png"),
      lambda request: with_parameters(request, sign=BAD_SIGN))
_file("parameter_order_matters", "The order of the parameters is signed.",
      "order_of_parameters_is_free",
      lambda request: (
          [name for name, _ in parse_qsl(request.query)][:3] == ["nonce", "timestamp", "sign"]
          or request.query.startswith("sign")
      ), lambda request: with_parameters(request, sign=BAD_SIGN))
_file("extra_parameter_refused", "A URL with one parameter more is refused.",
      "other_parameters_are_ignored", lambda request: len(parameters_of(request)) > 3,
      lambda request: with_parameters(request, sign=BAD_SIGN))
_file("get_with_key_refused", "A key in the request makes the URL bad.",
      "key_does_no_harm_to_a_url", lambda request: request.header("authorization") is not None,
      lambda request: with_parameters(request, sign=BAD_SIGN))

# What is seen when time passes
_file("url_lives_an_hour", "A URL lives for an hour, by the host's own clock.",
      "signed_urls_live_for_five_minutes", _is_dated,
      lambda request: _signed_later(request, 3600 - 300))
_file("url_lives_a_minute", "A URL lives for 60 s, by the host's own clock.",
      "signed_urls_live_for_five_minutes", _is_dated,
      lambda request: _signed_later(request, 60 - 300))
AREA.add("url_in_use_lives_on", "A URL that has been used lives on.",
         "signed_urls_live_for_five_minutes", change_requests(_lives_on_in_use))
_expired("expired_says_so", "The refusal of an expired URL says that it has expired.",
         lambda response: response.with_json(
             {**response.json, "code": "expired", "message": "The URL has expired."}
         ))
_expired("expired_is_html", "The refusal of an expired URL is a page.",
         lambda response: response.with_body(b"<h1>403</h1>"))
_expired("expired_is_410", "An expired URL is gone: 410.",
         lambda response: replace(response, status=410))
AREA.add("image_expires_with_its_url", "A day after its first URL an image is no longer there.",
         "image_outlives_its_urls", change_requests(_file_is_forgotten))

# What a host that knows its own URLs can forget to look at
AREA.add("nonce_not_checked", "The nonce is not signed.", "changed_nonce_is_403",
         _known(_nonce_ignored))
AREA.add("timestamp_not_checked", "The timestamp is not signed.", "changed_timestamp_is_403",
         _known(_timestamp_ignored))
AREA.add("file_id_not_checked", "The file's id is not signed.", "sign_of_another_file_is_403",
         _known(_file_id_ignored))
AREA.add("sign_case_ignored", "The case of a signature does not matter.",
         "sign_in_another_case_is_403", _known(_case_ignored))
AREA.add("sign_end_ignored", "Only the first 32 characters of a signature count.",
         "unpadded_sign_is_403 changed_sign_is_403", _known(_end_ignored))

# Another recipe
_recipe("signed_with_another_secret", "URLs are signed with another secret.",
        "urls_are_signed_by_the_recipe",
        lambda *parts: _mac("other", "|".join(("file-preview", *parts))))
_recipe("signed_without_purpose", "The purpose is not part of what is signed.",
        "urls_are_signed_by_the_recipe", lambda *parts: _mac(SECRET, "|".join(parts)))
_recipe("signed_with_colons", "The parts of what is signed are joined by colons.",
        "urls_are_signed_by_the_recipe",
        lambda *parts: _mac(SECRET, ":".join(("file-preview", *parts))))
_recipe("signed_with_a_plain_hash", "A plain SHA-256 of the parts is the signature.",
        "urls_are_signed_by_the_recipe",
        lambda *parts: base64.urlsafe_b64encode(
            hashlib.sha256("|".join(parts).encode()).digest()
        ).decode())
_recipe("signed_all_the_same", "Each URL has the same signature.",
        "changed_nonce_is_403 sign_of_another_file_is_403", lambda *_: _mac(SECRET, "always"))

# What a refusal says
_refused("unknown_file_is_404", "An unknown file with a good signature is a 404.",
         "signed_unknown_file_is_415", 415, lambda response: replace(response, status=404))
_refused("unknown_file_is_served", "An unknown file with a good signature is a placeholder.",
         "signed_unknown_file_is_415", 415, _placeholder)
_refused("tampered_is_a_placeholder", "A URL that is refused gets a placeholder and 200.",
         "changed_sign_is_403", 403, _placeholder)
_refused("tampered_is_400", "A URL that is refused gets 400.", "changed_sign_is_403", 403,
         lambda response: replace(response, status=400))
_refused("tampered_is_a_redirect", "A URL that is refused is a redirect to a login.",
         "changed_sign_is_403", 403,
         lambda response: replace(response, status=302).with_header("Location", "/signin"))
_refused(
    "tampered_is_html", "A URL that is refused gets a page.", "changed_sign_is_403", 403,
    lambda response: response.with_header("Content-Type", "text/html").with_body(b"<h1>403</h1>"))

# How often, and by whom
AREA.add("url_works_once", "A URL works once.", "url_serves_the_same_bytes_again",
         change_responses(_once))
AREA.add("url_needs_key", "A URL works with a key only.", "url_serves_the_image_without_a_key",
         change_requests(_needs_key))
AREA.add("url_takes_post", "An image takes POST.", "file_url_is_read_only",
         change_requests(lambda: _as_get))
# fmt: on
