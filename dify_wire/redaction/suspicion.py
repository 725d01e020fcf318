"""What in a redacted recording still looks personal or secret, and the option that takes it out.

A field is judged by its name and its text, a header by its name, the host by its address. Nothing
is taken out here: whether it is somebody's, its owner knows.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dify_wire.exchange import Headers, Recording, Request
from dify_wire.redaction.fields import documents, parts
from dify_wire.redaction.headers import COOKIES, SECRET_HEADERS, credentials, without_cookies
from dify_wire.redaction.pseudonyms import GONE, KEY, USER, is_a_name

MAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_MAIL = re.compile(MAIL)
_PHONE = re.compile(r"\+[0-9](?:[ ().-]?[0-9]){7,14}")
_TOKEN_LIKE = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|\b(?:sk|pk|rk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[A-Z0-9]{16}\b|\bapp-[A-Za-z0-9]{24}\b"
)
_PERSONAL_NAME = re.compile(
    r"e[-_]?mail|phone|mobile(?!net)|address|birth|(?:first|last|full|real|sur|user)[-_]?name|passport|iban\b|ssn\b|id[-_]?card"
    r"|wechat|open_?id|手机|电话|邮箱|邮件|姓名|地址|身份证",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"(?:token|secret|passw(?:or)?d|pwd|api[-_]?key|credentials?|session(?:[-_]?id)?)$|^authorization$",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(
    r"token|secret|passw|api-?key|auth(?!or)|credential|session", re.IGNORECASE
)
_HARMLESS_HEADER = re.compile(
    r"access-control-|www-authenticate|proxy-authenticate|sec-", re.IGNORECASE
)
_PUBLIC_NAMES = re.compile(
    r"(?:.*\.)?(?:localhost|example|example\.(?:com|net|org)|test|invalid)", re.IGNORECASE
)
_PSEUDONYM = re.compile(rf"{KEY.pattern}|{USER.pattern}|^{GONE}$")
_MOST_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something that looks ``like`` a mail address, a secret and so on, at ``place``; ``option``
    takes it out.
    """

    place: str
    like: str
    option: str

    def __str__(self) -> str:
        return f"{self.place} looks like {self.like}: {self.option}"


def suspicions(exchange: Recording) -> Iterator[Suspicion]:
    """What looks personal or secret in ``exchange``."""
    yield from _host(exchange.host)
    for part, headers in (("request", exchange.request.headers), ("answer", exchange.headers)):
        yield from _headers(part, headers)
    fields = [
        ("request", _request_fields(exchange.request)),
        ("answer", _body_fields(exchange.headers, exchange.body)),
    ]
    for part, found in fields:
        for where, name, value in found:
            yield from _field(f"{part} {where}", name, value)


def warning(folder: object, found: Mapping[str, Suspicion]) -> str:
    """One sentence on all that looks so in ``folder``; empty where nothing does."""
    if not found:
        return ""
    return f"{folder}: what looks personal or secret is in it as it was: {'; '.join(map(str, found.values()))}"


def _host(url: str) -> Iterator[Suspicion]:
    name = _host_name(url)
    if name:
        yield Suspicion("host", f"an address of your own ({name})", _rule("text", re.escape(name)))


def _host_name(url: str) -> str:
    """The host of ``url``, where it is anybody's own."""
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    try:
        return "" if ipaddress.ip_address(name).is_loopback else name
    except ValueError:
        known = not name or GONE in name or _PUBLIC_NAMES.fullmatch(name)
        return "" if known else name


def _headers(part: str, headers: Headers) -> Iterator[Suspicion]:
    for name, value in headers:
        lowered, text = name.lower(), _PSEUDONYM.sub("", value)
        secret = _SECRET_HEADER.search(name) and not _HARMLESS_HEADER.match(name)
        if lowered in COOKIES:
            like = "a cookie" if without_cookies(lowered, value, GONE) != value else ""
        elif lowered in SECRET_HEADERS:
            like = "a secret" if credentials(text)[1] not in ("", GONE) else ""
        elif text and (secret or _TOKEN_LIKE.search(text)):
            like = "a secret"
        else:
            like = "a mail address" if _MAIL.search(text) else ""
        if like:
            yield Suspicion(f"{part} header {name}", like, _rule("header", name))


def _request_fields(request: Request) -> Iterator[tuple[str, str, object]]:
    for name, value in _form(request.query):
        yield f"query {name}", name, value
    yield from _body_fields(request.headers, request.body)


def _body_fields(headers: Headers, body: bytes) -> Iterator[tuple[str, str, object]]:
    """The fields of a body: their places, names and values; a body without fields is one value
    without a name.
    """
    media_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    media_type = media_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        for part in parts(body):
            yield f"form {part.name}", part.name, part.text
        return
    if media_type == "application/x-www-form-urlencoded":
        for name, value in _form(body.decode("latin-1")):
            yield f"form {name}", name, value
        return
    found = list(documents(body))
    for document in found:
        yield from _leaves(document, "", "")
    if not found and media_type.startswith("text/"):
        yield "body", "", body.decode("utf-8", "replace")


def _leaves(value: Any, place: str, name: str) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}/{key}", key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, place, name)
    elif (
        isinstance(value, str)
        and value.lstrip().startswith("{")
        and (inner := _nested(value)) is not None
    ):
        yield from _leaves(inner, place, name)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield place, name, value


def _nested(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _field(place: str, name: str, value: object) -> Iterator[Suspicion]:
    text = _PSEUDONYM.sub("", str(value))
    if text in ("", "0"):
        return
    if isinstance(value, str) and name == "user" and is_a_name(text):
        yield Suspicion(place, "a user", "record it without --keep-user")
    elif _PERSONAL_NAME.search(name):
        yield Suspicion(place, "something personal", _rule("field", name))
    elif isinstance(value, str) and _SECRET_NAME.search(name):
        yield Suspicion(place, "a secret", _rule("field", name))
    elif isinstance(value, str):
        yield from _text(place, name, text)


def _text(place: str, name: str, text: str) -> Iterator[Suspicion]:
    for like, pattern in (
        ("a mail address", _MAIL),
        ("a phone number", _PHONE),
        ("a secret", _TOKEN_LIKE),
    ):
        if match := pattern.search(text):
            whole = match[0] == text.strip() and name
            yield Suspicion(
                place, like, _rule("field", name) if whole else _rule("text", pattern.pattern)
            )


def _form(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def _rule(kind: str, what: str) -> str:
    rule = f"{kind}:{what}"
    return (
        f"--redact {rule}"
        if re.fullmatch(r"[A-Za-z0-9:_./-]+", rule)
        else "--redact '" + rule.replace("'", r"'\''") + "'"
    )
