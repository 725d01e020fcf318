"""Where secrets stand in a text, and what is written in their place.

What one part of an exchange has given away is looked for in all its other parts: raw, escaped for JSON, HTML or URLs,
in base64. Keys, signatures and nonces are found by their form and by the names of their fields as well.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote_plus

from dify_wire.recording.edits import Edit, Edits
from dify_wire.recording.field_rules import Value, parameters, values
from dify_wire.recording.pseudonyms import GONE, KEY, Pseudonyms, is_a_name
from dify_wire.recording.rules import Rule
from dify_wire.redact import AFTER_ESCAPE, DIFY_KEY, FIELD, PARAMETER, any_form, credentials

_FINDABLE = 6
"""What is shorter than this is taken out where it is named; looked for everywhere it would hit what is no secret."""

_MOST_TOKENS = 20_000
_MOST_IN_EVERY_FORM = 64
_LEAST_TOKEN = 16
_LONGEST_TOKEN = 1_000
"""No host signs with more; of longer ones only the form that they came in is looked for, and percent-encoded."""

_KEPT_PATTERNS = 256
"""Some exchanges' worth; one takes 30 KB, and up to a megabyte for a secret of a thousand characters."""

_PARAMETER = re.compile(PARAMETER.encode())
_FIELD = re.compile(FIELD.encode(), re.IGNORECASE)
_SIGNATURES = (b"sign", b"nonce")
_KEY_PARAMETERS = ("api_key", "secret_key", "authorization")
_DIFY_KEY = re.compile(DIFY_KEY.encode())
_HINTS = {
    _PARAMETER: _SIGNATURES,
    _FIELD: (*_SIGNATURES, *map(str.encode, _KEY_PARAMETERS)),
    _DIFY_KEY: (b"app-",),
}
"""One of them, in lower case, is wherever the pattern finds something. To look for them first is many times as fast."""

_TOKEN = re.compile(
    rb"(?:%(?:25){0,8}[0-9A-Fa-f]{2}|\\{1,16}(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[a-z]))?([A-Za-z0-9+/_-]{16,})"
)
"""A token, and before it an escape whose last letters are not the token's first ones."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
_PRINTABLE = re.compile(rb"[ -~]{8}")
_ESCAPED_PADDING = re.compile(rb"(?:%(?:25){0,8}3[dD]|\\{1,16}u003[dD]|\\{1,16}x3[dD])+$")
_ESCAPE = re.compile(rb"%(?:25){0,8}([0-9A-Fa-f]{2})|\\{1,16}u00([0-9A-Fa-f]{2})|\\{1,16}x([0-9A-Fa-f]{2})")
_USER_FIELD = Rule("field", "user")

_Replace = Callable[[re.Match[bytes]], bytes | None]


class Search:
    """Finds the secrets of one exchange.

    ``keys`` are labels by API key, ``app`` is the label of any other key that it names. ``applied`` are the names of
    the rules that changed something; whoever makes edits adds theirs.
    """

    def __init__(
        self, keys: Mapping[str, str], rules: Sequence[Rule], keep_user: bool, names: Pseudonyms, app: str | None
    ) -> None:
        self.applied: set[str] = set()
        self._keys = keys
        self._rules = rules
        self._keep_user = keep_user
        self._names = names
        self._app = app
        self._tokens: dict[bytes, bytes] = {}
        self._forms: dict[str, tuple[bytes, str]] = {}

    # What is looked for ---------------------------------------------------------------------------------------------

    def learn(self, secret: str, pseudonym: str, rule: str, least: int = _FINDABLE) -> None:
        """Look for ``secret`` everywhere from now on, if it has at least ``least`` characters."""
        if len(secret) >= least and secret not in self._forms:
            self._forms[secret] = (pseudonym.encode(), rule)

    def learn_tokens(self, data: bytes) -> None:
        """The keys, signatures and nonces in ``data``: the first ones are looked for in every form too."""
        for match in _found(_DIFY_KEY, data):
            if len(self._forms) < _MOST_IN_EVERY_FORM:
                self.learn(match[0].decode(), self.key(match[0].decode()), "keys")
        for pattern in (_PARAMETER, _FIELD):
            for match in _found(pattern, data):
                if match["name"].lower() not in _SIGNATURES:
                    self._learn_key(Value(*match.span("value"), is_text=True), data)
                elif len(self._tokens) < _MOST_TOKENS:
                    self._learn_token(_unescaped(match["value"]).decode("latin-1"))
        for value in _key_parameters(data):
            self._learn_key(value, data)

    def learn_fields(self, data: bytes) -> None:
        """What stands in the fields of ``data`` that a rule names."""
        for rule in self._rules:
            for value in values(data, rule) if rule.kind == "field" else ():
                if value.is_text:
                    self.learn(_text_of(value, data), GONE, rule.name)

    def learn_user(self, user: str) -> None:
        if not self._keep_user and is_a_name(user):
            self.learn(user, self._names.user(user), "user")

    def key(self, key: str) -> str:
        """What is written in place of an API key."""
        if KEY.fullmatch(key):  # a recording that is redacted again
            return key
        return self._names.key(key, self._keys.get(key, self._app))

    def _learn_key(self, value: Value, data: bytes) -> None:
        """The key in a field of ``data``; a short value, such as "string" in a document, is also a word."""
        _, key = credentials(_text_of(value, data))
        if _LEAST_TOKEN <= len(key) <= _LONGEST_TOKEN and len(self._forms) < _MOST_IN_EVERY_FORM:
            self.learn(key, self.key(key), "keys")

    def _learn_token(self, token: str) -> None:
        bare = token.rstrip("=")
        if len(bare) < _LEAST_TOKEN or bare.encode("latin-1") in self._tokens:
            return
        said = self._names.token(token).rstrip("=")
        if len(self._forms) < _MOST_IN_EVERY_FORM and len(bare) <= _LONGEST_TOKEN:
            self.learn(bare, said, "signatures")
        for write in (str, quote):
            self._tokens[write(bare).encode("latin-1")] = said.encode("latin-1")

    # Where it stands ------------------------------------------------------------------------------------------------

    def edits(self, data: bytes, opaque: bool = False, inner: bool = False) -> Edits:
        """All edits of ``data``; ``opaque`` is what no person reads, ``inner`` what was base64."""
        self.learn_tokens(data)
        edits = Edits()
        for rule in self._rules:
            edits.add(_rule_edits(data, rule))
        edits.add(_edits_of(_PARAMETER, data, self._parameter, "signatures", "value"))
        edits.add(_edits_of(_FIELD, data, self._signature_field, "signatures", "value"))
        edits.add(_edits_of(_FIELD, data, self._key_field, "keys", "value"))
        edits.add(self._key_parameter_edits(data))
        for secret, (pseudonym, rule_name) in self._forms.items():
            if not (opaque and rule_name == "user"):
                edits.add(_same_edits(secret, data, pseudonym, rule_name))
            edits.add(_tail(secret, data, rule_name))
        edits.add(_edits_of(_DIFY_KEY, data, lambda match: self.key(match[0].decode()).encode(), "keys"))
        if self._tokens:
            edits.add(_edits_of(_TOKEN, data, lambda match: self._tokens.get(match[1]), "signatures", 1))
        if not self._keep_user and not opaque:
            edits.add(self._user_edits(data))
        if not inner:
            edits.add(_edits_of(_BASE64, data, self._base64, "keys"))
        return edits

    def _parameter(self, match: re.Match[bytes]) -> bytes | None:
        within_a_word = match.string[max(0, match.start() - 1) : match.start()].isalpha()  # as in design=
        if within_a_word and len(match["value"]) < _LEAST_TOKEN:
            return None
        return self._token_like(match["value"])

    def _token_like(self, value: bytes) -> bytes:
        """The pseudonym of a signature, its padding escaped as it was."""
        said = self._names.token(_unescaped(value).decode("latin-1")).encode("latin-1")
        padding = _ESCAPED_PADDING.search(value)
        return said.rstrip(b"=") + padding[0] if padding else said

    def _signature_field(self, match: re.Match[bytes]) -> bytes | None:
        return self._token_like(match["value"]) if match["name"].lower() in _SIGNATURES else None

    def _key_field(self, match: re.Match[bytes]) -> bytes | None:
        if match["name"].lower() in _SIGNATURES:
            return None
        return self._key_value(Value(*match.span("value"), is_text=True), match.string)

    def _key_parameter_edits(self, data: bytes) -> Iterator[Edit]:
        for value in _apart(_key_parameters(data)):
            said = self._key_value(value, data)
            if said is not None:
                yield Edit(value.start, value.end, said, "keys")

    def _key_value(self, value: Value, data: bytes) -> bytes | None:
        scheme, key = credentials(_text_of(value, data))
        return (scheme + self.key(key)).encode("utf-8", "surrogateescape") if key else None

    def _user_edits(self, data: bytes) -> Iterator[Edit]:
        """The user where it is named, however short it is."""
        for value in _apart(values(data, _USER_FIELD)):
            user = _text_of(value, data)
            if value.is_text and is_a_name(user):
                yield Edit(value.start, value.end, self._names.user(user).encode(), "user")

    def _base64(self, match: re.Match[bytes]) -> bytes | None:
        """A token without the secrets in what it encodes, wherever in it the encoded text begins."""
        token = match[0]
        for skip in range(4):
            plain = _from_base64(token[skip:])
            if plain is None or not _PRINTABLE.search(plain):
                continue
            edits = self.edits(plain, inner=True)
            if edits.rules():
                self.applied |= edits.rules()
                coded = base64.b64encode(edits.apply(plain))
                return token[:skip] + (coded if token.endswith(b"=") else coded.rstrip(b"="))
        return None


def named_users(data: bytes) -> set[str]:
    """The users that fields of ``data`` name."""
    return {_text_of(value, data) for value in values(data, _USER_FIELD) if value.is_text}


def _key_parameters(data: bytes) -> Iterator[Value]:
    lowered = data.lower()
    for name in _KEY_PARAMETERS:
        if name.encode() in lowered:
            yield from parameters(data, name)


def _rule_edits(data: bytes, rule: Rule) -> Iterator[Edit]:
    if rule.kind == "text":
        yield from _edits_of(re.compile(rule.what.encode()), data, lambda _: GONE.encode(), rule.name)
    elif rule.kind == "field":
        for value in _apart(values(data, rule)):
            yield Edit(value.start, value.end, GONE.encode() if value.is_text else b"0", rule.name)


def _found(pattern: re.Pattern[bytes], data: bytes) -> Iterator[re.Match[bytes]]:
    hints = _HINTS.get(pattern)
    lowered = data.lower() if hints else b""
    if hints is None or any(hint in lowered for hint in hints):
        yield from pattern.finditer(data)


def _edits_of(
    pattern: re.Pattern[bytes], data: bytes, replacement: _Replace, rule: str, group: str | int = 0
) -> Iterator[Edit]:
    for match in _found(pattern, data):
        said = replacement(match)
        if said is not None and match.end(group) > match.start(group):
            yield Edit(match.start(group), match.end(group), said, rule)


def _tail(secret: str, data: bytes, rule: str) -> Iterator[Edit]:
    """The beginning of ``secret`` at the very end, where a connection broke."""
    raw = secret.encode("utf-8", "surrogateescape")
    start = data.find(raw[:_FINDABLE], max(0, len(data) - len(raw) + 1))
    while start >= 0:
        if raw.startswith(data[start:]):
            yield Edit(start, len(data), GONE.encode(), rule)
            return
        start = data.find(raw[:_FINDABLE], start + 1)


def _same_edits(secret: str, data: bytes, replacement: bytes, rule: str) -> Iterator[Edit]:
    if _anywhere(secret).search(data):  # many times as fast as to look for words of their own
        pattern = _as_a_word(secret) if rule == "user" else _anywhere(secret)
        yield from _edits_of(pattern, data, lambda _: replacement, rule)


def _apart(found: Iterable[Value]) -> Iterator[Value]:
    """``found`` in order, without those that lie inside of another."""
    end = -1
    for value in sorted(set(found), key=lambda value: (value.start, -value.end)):
        if value.start >= end and value.end > value.start:
            yield value
            end = value.end


@lru_cache(maxsize=_KEPT_PATTERNS)
def _anywhere(secret: str) -> re.Pattern[bytes]:
    return re.compile(any_form(secret).encode("utf-8", "surrogateescape"))


@lru_cache(maxsize=_KEPT_PATTERNS)
def _as_a_word(secret: str) -> re.Pattern[bytes]:
    """No part of a word, and no name of a field."""
    form = rf"""(?:(?<![\w-])|{AFTER_ESCAPE}){any_form(secret)}(?![\w-])(?!\\{{0,16}}"\s*:)"""
    return re.compile(form.encode("utf-8", "surrogateescape"))


def _unescaped(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[match.lastindex or 0], 16)]), value)


def _text_of(value: Value, data: bytes) -> str:
    """A value of ``data`` as the text that it says."""
    text = data[value.start : value.end].decode("utf-8", "surrogateescape")
    if "\\" in text:
        try:
            return str(json.loads(f'"{text}"'))
        except ValueError:
            return text
    return unquote_plus(text) if "%" in text else text


def _from_base64(token: bytes) -> bytes | None:
    bare = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    bare = bare[:-1] if len(bare) % 4 == 1 else bare
    try:
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4))
    except binascii.Error:
        return None
