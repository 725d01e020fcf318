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

from tests.mutants.breaking import Heard, Hearing, Said, Wrap, answering, chained, hearing
from tests.mutants.edits import changed_answers
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
from tests.mutants.mutant import Area
from tests.mutants.pngs import small_png
from tests.mutants.serving import SECRET

AREA = Area("signature")

_SIGNED = re.compile(
    rb"/files/tools/([0-9a-f-]{36})\.png\?timestamp=(\d+)&nonce=([0-9a-f]{32})&sign=([A-Za-z0-9_-]{43}=)"
)


def _file(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Heard], bool],
    instead: Callable[[Heard], Heard],
) -> None:
    """The host hears ``instead`` of a request for a file that ``when`` picks."""

    def change(heard: Heard) -> Heard:
        return instead(heard) if heard.is_file and file_id(heard) and when(heard) else heard

    AREA.add(name, breaks, killers, hearing(lambda: change))


def _has_all(heard: Heard) -> bool:
    return set(parameters_of(heard)) >= {"timestamp", "nonce", "sign"}


def _lacks(parameter: str) -> Callable[[Heard], bool]:
    return lambda heard: parameter not in parameters_of(heard)


def _is_empty(parameter: str) -> Callable[[Heard], bool]:
    return lambda heard: parameters_of(heard).get(parameter) == ""


def _always(_: Heard) -> bool:
    return True


# Not looked at
# --------------------------------------------------------------------------------------------------------

_file("signature_not_checked", "Any signature is good.", "changed_sign_is_403", _has_all, signed)
_file(
    "nothing_checked",
    "Neither signature nor age nor presence is looked at.",
    "changed_sign_is_403",
    _always,
    lambda heard: signed(heard, timestamp=now()),
)
_file(
    "age_not_checked",
    "A URL never expires.",
    "url_expires_after_300_seconds",
    has_good_sign,
    lambda heard: signed(heard, timestamp=now()) if age_s(heard) > 0 else heard,
)
_file(
    "age_an_hour",
    "A URL lives for an hour.",
    "url_expires_after_300_seconds",
    lambda heard: has_good_sign(heard) and 0 < age_s(heard) < 3600,
    lambda heard: signed(heard, timestamp=now()),
)
_file(
    "age_30_s",
    "A URL lives for 30 s.",
    "url_is_valid_for_290_seconds",
    lambda heard: has_good_sign(heard) and age_s(heard) > 30,
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "age_in_milliseconds",
    "The age is taken for milliseconds: a URL lives as long as its second.",
    "url_is_valid_for_290_seconds",
    lambda heard: has_good_sign(heard) and age_s(heard) > 1.5,
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "future_refused",
    "A URL of the future is refused.",
    "url_of_the_future_is_valid",
    lambda heard: has_good_sign(heard) and age_s(heard) < -5,
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
for _parameter in ("timestamp", "nonce", "sign"):
    _file(
        f"{_parameter}_missing_accepted",
        f"A URL needs no {_parameter}.",
        f"missing_{_parameter}_is_400",
        _lacks(_parameter),
        lambda heard: signed(heard, timestamp=parameters_of(heard).get("timestamp", now())),
    )
    _file(
        f"{_parameter}_missing_is_403",
        f"A URL without {_parameter} is refused like a bad one.",
        f"missing_{_parameter}_is_400",
        _lacks(_parameter),
        lambda heard: with_parameters(heard, timestamp=now(), nonce="0" * 32, sign=BAD_SIGN),
    )
_file(
    "query_missing_accepted",
    "A URL without a query is served.",
    "missing_parameters_are_told_in_their_order",
    lambda heard: not heard.query,
    lambda heard: signed(heard, timestamp=now()),
)
_file(
    "sign_empty_accepted",
    "An empty signature is good.",
    "empty_sign_is_403",
    _is_empty("sign"),
    signed,
)
_file(
    "sign_unpadded_accepted",
    "A signature needs no = at its end.",
    "unpadded_sign_is_403",
    lambda heard: len(parameters_of(heard).get("sign", "")) == 43,
    lambda heard: with_parameters(heard, sign=parameters_of(heard)["sign"] + "="),
)
_file(
    "file_id_in_capitals_refused",
    "A URL with the file's id in capitals is refused.",
    "file_id_may_be_in_upper_case",
    lambda heard: heard.path != heard.path.lower(),
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "extension_signed",
    "The extension is signed too.",
    "extension_is_not_signed",
    lambda heard: not heard.path.endswith(".png"),
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "parameter_order_matters",
    "The order of the parameters is signed.",
    "order_of_parameters_is_free",
    lambda heard: (
        [name for name, _ in parse_qsl(heard.query)][:3] == ["nonce", "timestamp", "sign"]
        or heard.query.startswith("sign")
    ),
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "extra_parameter_refused",
    "A URL with one parameter more is refused.",
    "other_parameters_are_ignored",
    lambda heard: len(parameters_of(heard)) > 3,
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)
_file(
    "get_with_key_refused",
    "A key in the request makes the URL bad.",
    "key_does_no_harm_to_a_url",
    lambda heard: heard.header("authorization") is not None,
    lambda heard: with_parameters(heard, sign=BAD_SIGN),
)

# What is seen when time passes
# ----------------------------------------------------------------------------------------

_OTHER_FILE = "/files/tools/00000000-0000-4000-8000-000000000000.png"
_DAY_S = 86400


def _is_dated(heard: Heard) -> bool:
    """Whether the signature is right, and its timestamp a number."""
    return has_good_sign(heard) and parameters_of(heard)["timestamp"].isdigit()


def _signed_later(heard: Heard, seconds: int) -> Heard:
    """As if it had been signed ``seconds`` later: it lives so much longer, by whatever clock."""
    return signed(heard, timestamp=str(int(parameters_of(heard)["timestamp"]) + seconds))


def _lives_on_in_use() -> Hearing:
    used: set[str] = set()

    def change(heard: Heard) -> Heard:
        if not (heard.is_file and _is_dated(heard)):
            return heard
        again = heard.query in used
        used.add(heard.query)
        return _signed_later(heard, _DAY_S) if again else heard

    return change


def _file_is_forgotten() -> Hearing:
    first: dict[str, int] = {}

    def change(heard: Heard) -> Heard:
        if not (heard.is_file and _is_dated(heard)):
            return heard
        at = int(parameters_of(heard)["timestamp"])
        is_old = at > first.setdefault(file_id(heard), at) + _DAY_S
        return signed(replace(heard, path=_OTHER_FILE)) if is_old else heard

    return change


def _expired(name: str, breaks: str, change: Callable[[Said], Said]) -> None:
    """The refusal of a URL that is too old, changed; of a bad one it stays as it is."""

    def answer(heard: Heard, said: Said) -> Said:
        return (
            change(said) if heard.is_file and said.status == 403 and has_good_sign(heard) else said
        )

    AREA.add(name, breaks, "signed_urls_live_for_five_minutes", changed_answers(answer))


_file(
    "url_lives_an_hour",
    "A URL lives for an hour, by the host's own clock.",
    "signed_urls_live_for_five_minutes",
    _is_dated,
    lambda heard: _signed_later(heard, 3600 - 300),
)
_file(
    "url_lives_a_minute",
    "A URL lives for 60 s, by the host's own clock.",
    "signed_urls_live_for_five_minutes",
    _is_dated,
    lambda heard: _signed_later(heard, 60 - 300),
)
AREA.add(
    "url_in_use_lives_on",
    "A URL that has been asked for lives on.",
    "signed_urls_live_for_five_minutes",
    hearing(_lives_on_in_use),
)
_expired(
    "expired_says_so",
    "The refusal of an expired URL says that it has expired.",
    lambda said: said.with_json(
        {**said.json, "code": "expired", "message": "The URL has expired."}
    ),
)
_expired(
    "expired_is_html",
    "The refusal of an expired URL is a page.",
    lambda said: said.with_body(b"<h1>403</h1>"),
)
_expired("expired_is_410", "An expired URL is gone: 410.", lambda said: replace(said, status=410))
AREA.add(
    "picture_expires_with_its_url",
    "A day after its first URL a picture is no longer there.",
    "picture_outlives_its_urls",
    hearing(_file_is_forgotten),
)

# What a host that knows its own URLs can forget to look at
# ------------------------------------------------------------


def _known(change: Callable[[Heard, dict[str, tuple[str, str, str]]], Heard]) -> Wrap:
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

        def make() -> Hearing:
            return lambda heard: (
                change(heard, given) if heard.is_file and _has_all(heard) else heard
            )

        return hearing(make)(learning)

    return wrap


def _nonce_ignored(heard: Heard, given: dict[str, tuple[str, str, str]]) -> Heard:
    sign = parameters_of(heard)["sign"]
    return with_parameters(heard, nonce=given[sign][2]) if sign in given else heard


def _timestamp_ignored(heard: Heard, given: dict[str, tuple[str, str, str]]) -> Heard:
    sign = parameters_of(heard)["sign"]
    return with_parameters(heard, timestamp=given[sign][1]) if sign in given else heard


def _file_id_ignored(heard: Heard, given: dict[str, tuple[str, str, str]]) -> Heard:
    sign = parameters_of(heard)["sign"]
    return replace(heard, path=f"/files/tools/{given[sign][0]}.png") if sign in given else heard


def _case_ignored(heard: Heard, given: dict[str, tuple[str, str, str]]) -> Heard:
    sign = parameters_of(heard)["sign"]
    return next(
        (with_parameters(heard, sign=known) for known in given if known.lower() == sign.lower()),
        heard,
    )


def _end_ignored(heard: Heard, given: dict[str, tuple[str, str, str]]) -> Heard:
    sign = parameters_of(heard)["sign"]
    return next(
        (with_parameters(heard, sign=known) for known in given if known[:32] == sign[:32]), heard
    )


AREA.add(
    "nonce_not_checked", "The nonce is not signed.", "changed_nonce_is_403", _known(_nonce_ignored)
)
AREA.add(
    "timestamp_not_checked",
    "The timestamp is not signed.",
    "changed_timestamp_is_403",
    _known(_timestamp_ignored),
)
AREA.add(
    "file_id_not_checked",
    "The file's id is not signed.",
    "sign_of_another_file_is_403",
    _known(_file_id_ignored),
)
AREA.add(
    "sign_case_ignored",
    "The case of a signature does not matter.",
    "sign_in_another_case_is_403",
    _known(_case_ignored),
)
AREA.add(
    "sign_end_ignored",
    "Only the first 32 characters of a signature count.",
    "unpadded_sign_is_403 changed_sign_is_403",
    _known(_end_ignored),
)

# Another recipe
# -------------------------------------------------------------------------------------------------------

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

    def understood(heard: Heard) -> Heard:
        query = parameters_of(heard)
        if not (heard.is_file and file_id(heard) and _has_all(heard)):
            return heard
        good = query["sign"] == sign(file_id(heard), query["timestamp"], query["nonce"])
        return signed(heard) if good else with_parameters(heard, sign=BAD_SIGN)

    AREA.add(name, breaks, killers, chained(wrap, hearing(lambda: understood)))


def _mac(key: str, message: str, digest: str = "sha256") -> str:
    return base64.urlsafe_b64encode(
        hmac.new(key.encode(), message.encode(), digest).digest()
    ).decode()


_recipe(
    "signed_with_another_secret",
    "URLs are signed with another secret.",
    "urls_are_signed_by_the_recipe",
    lambda *parts: _mac("other", "|".join(("file-preview", *parts))),
)
_recipe(
    "signed_without_purpose",
    "The purpose is not part of what is signed.",
    "urls_are_signed_by_the_recipe",
    lambda *parts: _mac(SECRET, "|".join(parts)),
)
_recipe(
    "signed_with_colons",
    "The parts of what is signed are joined by colons.",
    "urls_are_signed_by_the_recipe",
    lambda *parts: _mac(SECRET, ":".join(("file-preview", *parts))),
)
_recipe(
    "signed_with_a_plain_hash",
    "A plain SHA-256 of the parts is the signature.",
    "urls_are_signed_by_the_recipe",
    lambda *parts: base64.urlsafe_b64encode(
        hashlib.sha256("|".join(parts).encode()).digest()
    ).decode(),
)
_recipe(
    "signed_all_the_same",
    "Each URL has the same signature.",
    "changed_nonce_is_403 sign_of_another_file_is_403",
    lambda *_: _mac(SECRET, "always"),
)

# What a refusal says
# --------------------------------------------------------------------------------------------------


def _refused(
    name: str, breaks: str, killers: str, when: int, change: Callable[[Said], Said]
) -> None:
    """Answers about files with the status ``when``, changed."""

    def answer(heard: Heard, said: Said) -> Said:
        return change(said) if heard.is_file and said.status == when else said

    AREA.add(name, breaks, killers, changed_answers(answer))


def _picture(said: Said) -> Said:
    return (
        Said(200, said.headers, said.body)
        .with_header("Content-Type", "image/png")
        .with_body(small_png())
    )


_refused(
    "unknown_file_is_404",
    "An unknown file with a good signature is a 404.",
    "signed_unknown_file_is_415",
    415,
    lambda said: replace(said, status=404),
)
_refused(
    "unknown_file_is_served",
    "An unknown file with a good signature is a placeholder.",
    "signed_unknown_file_is_415",
    415,
    _picture,
)
_refused(
    "tampered_is_a_placeholder",
    "A URL that is refused gets a placeholder and 200.",
    "changed_sign_is_403",
    403,
    _picture,
)
_refused(
    "tampered_is_400",
    "A URL that is refused gets 400.",
    "changed_sign_is_403",
    403,
    lambda said: replace(said, status=400),
)
_refused(
    "tampered_is_a_redirect",
    "A URL that is refused is a redirect to a login.",
    "changed_sign_is_403",
    403,
    lambda said: replace(said, status=302).with_header("Location", "/signin"),
)
_refused(
    "tampered_is_html",
    "A URL that is refused gets a page.",
    "changed_sign_is_403",
    403,
    lambda said: said.with_header("Content-Type", "text/html").with_body(b"<h1>403</h1>"),
)

# How often, and by whom
# -----------------------------------------------------------------------------------------------


def _once() -> Callable[[Heard, Said], Said]:
    seen: set[str] = set()

    def answer(heard: Heard, said: Said) -> Said:
        if not heard.is_file or said.status != 200 or heard.method != "GET":
            return said
        again = heard.query in seen
        seen.add(heard.query)
        return (
            Said(403, said.headers, b"").with_header("Content-Type", "application/json")
            if again
            else said
        )

    return answer


def _needs_key() -> Hearing:
    return lambda heard: (
        with_parameters(heard, sign=BAD_SIGN)
        if heard.is_file and heard.header("authorization") is None
        else heard
    )


def _as_get(heard: Heard) -> Heard:
    return (
        replace(heard, method="GET")
        if heard.is_file and heard.method in ("POST", "PUT", "DELETE")
        else heard
    )


AREA.add("url_works_once", "A URL works once.", "url_serves_the_same_bytes_again", answering(_once))
AREA.add(
    "url_needs_key",
    "A URL works with a key only.",
    "url_serves_the_picture_without_a_key",
    hearing(_needs_key),
)
AREA.add(
    "url_takes_post",
    "A picture can be posted to.",
    "file_url_is_read_only",
    hearing(lambda: _as_get),
)
