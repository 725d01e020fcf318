"""What in a redacted recording still looks personal or secret, and the option that takes it out.

Fields are recognized by their names and texts, headers by their names, the host by its address.
Nothing is taken out here: only its owner knows whether it is personal.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dify_wire.exchange import Headers, Recording, Request, loads
from dify_wire.redaction.fields import (
    COOKIES,
    SECRET_HEADERS,
    credentials,
    documents,
    form_fields,
    parts,
    without_cookies,
)
from dify_wire.redaction.replacement import GONE, KEY, USER, is_a_name

_MAIL_RULE = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_PHONE_RULE = r"\+[0-9](?:[ ().-]?[0-9]){7,14}"
_KEY_RULE = (
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(?:sk|pk|rk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[A-Z0-9]{16}\b|\bapp-[A-Za-z0-9]{24}\b"
)
# The same to be found once, in linear time: what does not match from the first place in a run of
# such characters matches from none of it.
_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_PHONE = re.compile(_PHONE_RULE)
_TOKEN_LIKE = re.compile(
    r"(?<![A-Za-z0-9_-])(?>[A-Za-z0-9_-]*?\beyJ)" + _KEY_RULE.removeprefix(r"\beyJ")
)
_PERSONAL_NAME = re.compile(
    r"e[-_]?mail|phone|mobile(?!net)|address|birth|(?:first|last|full|real|sur|user)[-_]?name"
    r"|passport|iban\b|ssn\b|id[-_]?card|wechat|open_?id|手机|电话|邮箱|邮件|姓名|地址|身份证",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"(?:token|secret|passw(?:or)?d|pwd|api[-_]?key|credentials?|session(?:[-_]?id)?)$"
    r"|^authorization$",
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


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What looks ``like`` a secret, a mail address … at ``place``; ``option`` takes it out."""

    place: str
    like: str
    option: str

    def __str__(self) -> str:
        return f"{self.place} looks like {self.like}: {self.option}"


def suspicions(exchange: Recording) -> Iterator[Suspicion]:
    """What looks personal or secret in ``exchange``."""
    yield from _host(exchange.host)
    for part, headers in (("request", exchange.request.headers), ("response", exchange.headers)):
        yield from _headers(part, headers)
    query = form_fields(exchange.request.query)
    fields = [
        *(("request", f"query {name}", name, value) for name, value in query),
        *(("request", *field) for field in _body_fields(exchange.request)),
        *(("response", *field) for field in _body_fields(exchange)),
    ]
    for part, where, name, value in fields:
        yield from _field(f"{part} {where}", name, value)


def warning(folder: object, found: Mapping[str, Suspicion]) -> str:
    """One sentence on all that looks so in ``folder``; empty where nothing does."""
    what = "; ".join(map(str, found.values()))
    return f"{folder}: what looks personal or secret is in it as it was: {what}" if what else ""


def _host(url: str) -> Iterator[Suspicion]:
    """The host of ``url``, unless it is the machine itself or a name of no real host."""
    name = ""
    with contextlib.suppress(ValueError):
        name = urlsplit(url).hostname or ""
    try:
        harmless = ipaddress.ip_address(name).is_loopback
    except ValueError:
        harmless = not name or GONE in name or bool(_PUBLIC_NAMES.fullmatch(name))
    if not harmless:
        yield Suspicion("host", f"an address of your own ({name})", _rule("text", re.escape(name)))


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


def _body_fields(exchange: Request | Recording) -> Iterator[tuple[str, str, object]]:
    """The places, names and values of a body's fields; one without fields is a value without a
    name.
    """
    body, media_type = exchange.body, exchange.media_type
    if media_type == "multipart/form-data":
        yield from ((f"form {part.name}", part.name, part.text) for part in parts(body))
        return
    if media_type == "application/x-www-form-urlencoded":
        fields = form_fields(body.decode("latin-1"))
        yield from ((f"form {name}", name, value) for name, value in fields)
        return
    found = list(documents(body))
    for document in found:
        yield from _leaves(document, "", "")
    if not found and media_type.startswith("text/"):
        yield "body", "", body.decode("utf-8", "replace")


def _leaves(value: Any, place: str, name: str) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            value = loads(value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}/{key}", key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, place, name)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield place, name, value


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
    for like, pattern, rule in (
        ("a mail address", _MAIL, _MAIL_RULE),
        ("a phone number", _PHONE, _PHONE_RULE),
        ("a secret", _TOKEN_LIKE, _KEY_RULE),
    ):
        if match := pattern.search(text):
            whole = match[0] == text.strip() and name
            yield Suspicion(place, like, _rule("field", name) if whole else _rule("text", rule))


def _rule(kind: str, what: str) -> str:
    rule = f"{kind}:{what}"
    return (
        f"--redact {rule}"
        if re.fullmatch(r"[A-Za-z0-9:_./-]+", rule)
        else "--redact '" + rule.replace("'", r"'\''") + "'"
    )
