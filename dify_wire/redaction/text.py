"""Finds the secrets of a text or an exchange (``Search``), and takes them out of what is shown:
a log, the journal, a report, a comparison (``TextRedactor``).

A search knows the secrets of the settings, and finds by itself signatures, nonces, fields for keys,
and whatever has the form of an app's key. A part is read first, which learns what it gives away,
and searched when all parts have been read, wherever else and however a secret is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

from dify_wire.exchange import UUID
from dify_wire.redaction.fields import (
    COOKIES,
    SECRET_HEADERS,
    FieldReader,
    Value,
    at_pointer,
    credential_parts,
    credentials,
    parts,
    without_cookies,
)
from dify_wire.redaction.needles import Hit, Needles, Secret, encoded
from dify_wire.redaction.replacement import KEY, REDACTED, Edit, Edits, Marks, is_a_name
from dify_wire.redaction.rules import Rule
from dify_wire.redaction.views import View, as_utf8, unescaped, views

FINDABLE = 6
"""A shorter secret is replaced where its field names it, and not looked for: it is also a word."""

LEAST_CUT = 4
"""So many bytes of a secret that was cut short for a reader are enough to know it."""

_LEAST_KEY = 16
"""A shorter value of a field for keys, such as "string" in a document, is also a word."""

_LEAST_TOKEN = 16
_ELLIPSIS = re.compile("…".encode())
_SIGNATURES = ("sign", "nonce")
_USER_NUMBER = "1"
"""In place of a user that is a number: 0 would be no user to the host."""
_KEY_FIELDS = SECRET_HEADERS.difference(COOKIES).union(
    ("api_key", "apikey", "secret_key", "access_token", "refresh_token", "client_secret")
)
_DIFY_KEY = re.compile(rb"(?<![A-Za-z0-9_])app-[A-Za-z0-9]{24}(?![A-Za-z0-9])", re.IGNORECASE)
_TOKEN = re.compile(
    rb"(?:[A-Za-z0-9_\-+/=~.]++|%(?:25)*[0-9A-Fa-f]{2}|\\+(?:/|(?:u00|x)[0-9A-Fa-f]{2}))*+"
)
_PADDING = re.compile(rb"(?:=|%(?:25){0,8}3[dD]|\\{1,16}(?:u00|x)3[dD]){0,2}$")
_LONGEST_PADDING = 64
USER_FIELDS = (
    *("user", "sys.user_id", "session_id", "external_user_id"),
    "created_by_end_user_session_id",
)
"""What names a user: in a request, in a run, in its record, in the logs, of an end user."""

_REMEMBERED = 512
_LONGEST_REMEMBERED = 256
_SIGNED_URL = re.compile(
    rf"(/files/(?:tools/)?{UUID}[./a-z-]{{0,20}}\?timestamp=[0-9]{{1,12}}&nonce=)"
    r"[0-9a-f]{32}&sign=[A-Za-z0-9_-]{43}="
)
"""What a log shows most often: it is redacted in a fraction of the time."""


@dataclass(slots=True)
class Reading:
    """A part that was read: its views, and the edits of fields whose names say what they hold.

    ``recoded`` is the same part in UTF-8, where it may be text in another ``coding``.
    """

    data: bytes
    views: list[View]
    edits: list[Edit] = field(default_factory=list)
    coding: str = "utf-8"
    recoded: Reading | None = None


class Search:
    """Looks for ``keys``, which have labels, and for what it learns; ``names`` replaces it."""

    def __init__(
        self, names: Marks, keys: Mapping[str, str], rules: Sequence[Rule], keep_user: bool
    ) -> None:
        self._names = names
        self._keys = keys
        self._rules = rules
        self._keep_user = keep_user
        self.app: str | None = None
        self.needles: tuple[Needles, ...] = (Needles(),)
        self._named: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.kind == "field":
                name = rule.pointer[-1] if rule.pointer else rule.what
                self._named.setdefault(name, []).append(rule)
        names_of_secrets = [*_KEY_FIELDS, *(() if keep_user else USER_FIELDS)]
        self._fields = FieldReader(names_of_secrets, _SIGNATURES, self._named)
        for key, label in keys.items():
            self.learn(key, names.key(key, label), "keys", least=1)

    def fresh(self, app: str | None = None) -> Search:
        """A copy that learns for itself; ``app`` is the label of keys that it does not know."""
        made = copy(self)
        made.app = app
        made.needles = (*self.needles, Needles())
        return made

    # Learning

    def learn(self, secret: str, replacement: str, rule: str, least: int = FINDABLE) -> None:
        """Look for ``secret`` everywhere from now on, if it has at least ``least`` characters."""
        if len(secret) >= least and not any(secret in needles for needles in self.needles):
            self.needles[-1].add(Secret(secret, replacement.encode(), rule, word=rule == "user"))

    def key(self, key: str) -> str:
        """What replaces an API key; of a recording that is redacted again, the pseudonym stays."""
        return key if KEY.fullmatch(key) else self._names.key(key, self._keys.get(key, self.app))

    def learn_credentials(self, value: str, least: int = FINDABLE) -> str:
        """Look for the secret of an ``Authorization`` or the like; returns what replaces
        ``value``.
        """
        scheme, key = credentials(value)
        for one in (key, key.rstrip(")]},;.")):
            self.learn(one, self.key(one), "keys", least)
        for part in credential_parts(value):
            self.learn(part, self._names.gone, "keys")
        return scheme + self.key(key) if key else value

    def read(self, data: bytes, opaque: bool = False) -> Reading:
        """Learn what ``data`` gives away. ``opaque`` data is not for people to read: only keys are
        learned from it.
        """
        reading = self._read(data, opaque)
        plain, reading.coding = as_utf8(data)
        if reading.coding != "utf-8":
            reading.recoded = self._read(plain, opaque)
        return reading

    def _read(self, data: bytes, opaque: bool) -> Reading:
        reading = Reading(data, list(views(data)))
        if not opaque:
            for view in reading.views:
                reading.edits += self._rule_edits(view)
            pointed = {rule: at_pointer(data, rule.pointer) for rule in self._rules if rule.pointer}
            for view in reading.views:
                for value in self._values(view):
                    reading.edits += self._field_edits(view, value, pointed)
        for view in reading.views:
            for match in _DIFY_KEY.finditer(view.data):
                key = match[0].decode()
                self.learn(key, self.key(key), "keys")
        return reading

    def _rule_edits(self, view: View) -> Iterator[Edit]:
        for rule in self._rules:
            for match in re.finditer(rule.what.encode(), view.data) if rule.kind == "text" else ():
                if match[0] and view.is_new(*match.span()):
                    yield from _edit(view, *match.span(), self._names.gone, rule.name)

    def _values(self, view: View) -> Iterator[Value]:
        yield from self._fields.values(view)
        if view.parent is None and b"isposition" in view.lowered:
            wanted = {*self._named, *_KEY_FIELDS, *USER_FIELDS}
            yield from (part for part in parts(view.data) if part.name in wanted)

    def _field_edits(
        self, view: View, value: Value, pointed: Mapping[Rule, set[str]]
    ) -> list[Edit]:
        """What replaces ``value`` where a rule or the field's own name says so; learns it."""
        for rule in self._named.get(value.name, ()):
            if _fits(value, pointed.get(rule)):
                if value.is_text:
                    self.learn(value.text, self._names.gone, rule.name)
                written = self._names.gone if value.is_text else "0"
                return _edit(view, value.start, value.end, written, rule.name)
        name = value.name.lower()
        if name in _SIGNATURES and value.is_text:
            return self._signature_edits(view, value)
        if name in _KEY_FIELDS and value.is_text:
            written = self.learn_credentials(value.text, _LEAST_KEY)
            return _edit(view, value.start, value.end, written, "keys")
        if name not in USER_FIELDS or self._keep_user:
            return []
        if not is_a_name(value.text) or not (value.is_text or len(value.text) >= FINDABLE):
            return []
        written = self._names.user(value.text) if value.is_text else _USER_NUMBER
        self.learn(value.text, written, "user")
        return _edit(view, value.start, value.end, written, "user")

    def _signature_edits(self, view: View, value: Value) -> list[Edit]:
        """What replaces a signature or a nonce, up to its padding; learns it."""
        data = view.data[value.start : value.end]
        token = _TOKEN.match(data)
        if token is not None and token.end() >= _LEAST_TOKEN:
            data = token[0]
        if data.endswith((b"=", b"d", b"D")):
            padding = _PADDING.search(data, max(0, len(data) - _LONGEST_PADDING))
            data = data[: padding.start()] if padding else data
        bare = unescaped(data).decode("utf-8", "surrogateescape")
        written = self._names.token(bare)
        if len(bare) >= _LEAST_TOKEN:
            self.learn(bare, written, "signatures")
        end = value.start + len(data) if self._names.keeps_padding else value.end
        return _edit(view, value.start, end, written, "signatures")

    # Replacing

    def edits(
        self, reading: Reading, opaque: bool = False, ended: bool = False, ellipses: bool = False
    ) -> Edits:
        """All edits of what was read. A secret may have been cut short where the data has
        ``ended``, and before ``ellipses``.
        """
        made = self._edits(reading, opaque, ellipses)
        if ended and (cut := self.cut(reading.data, len(reading.data), FINDABLE)):
            made.append(Edit(cut.start, cut.end, self._names.gone.encode(), cut.secret.rule))
        if reading.recoded is not None:
            plain = self.edits(reading.recoded, opaque, ended, ellipses)
            recoded = plain.recoded(reading.recoded.data, reading.coding)
            # those of a view whose characters begin a byte off would cut a character
            made = [one for one in made if recoded.cut_at(one.start) and recoded.cut_at(one.end)]
            made += recoded
        return Edits(edit for edit in made if edit.data != reading.data[edit.start : edit.end])

    def _edits(self, reading: Reading, opaque: bool, ellipses: bool) -> list[Edit]:
        made = list(reading.edits)
        for view in reading.views:
            hits = [*chain.from_iterable(needles.find(view) for needles in self.needles)]
            for match in _ELLIPSIS.finditer(view.data) if ellipses else ():
                hits += [hit] if (hit := self.cut(view.data, match.start(), LEAST_CUT)) else []
            for start, end, secret in hits:
                if not (opaque and secret.word):
                    made += _edit(view, start, end, secret.replacement, secret.rule)
        return made

    def cut(self, data: bytes, end: int, least: int) -> Hit | None:
        """The longest beginning of a secret, of at least ``least`` bytes, that stands before
        ``end``.
        """
        found = (needles.cut(data, end, least) for needles in self.needles)
        return min((hit for hit in found if hit), key=lambda hit: hit.start, default=None)


def _fits(value: Value, pointed: set[str] | None) -> bool:
    """Whether a rule means ``value``: any without a pointer, else those that it ``pointed`` to."""
    if pointed is None:
        return True
    try:
        return json.dumps(value.text if value.is_text else json.loads(value.text)) in pointed
    except ValueError:
        return False


def _edit(view: View, start: int, end: int, replacement: str | bytes, rule: str) -> list[Edit]:
    """The edit of the original, if there is one."""
    if isinstance(replacement, str):
        replacement = replacement.encode("utf-8", "surrogateescape")
    lifted = view.lift(start, end, replacement) if end > start else None
    return [] if lifted is None else [Edit(*lifted, rule)]


class TextRedactor:
    """Replaces ``secrets``, and what is secret by its form or its field.

    ``rules`` name more of it. Users stay, unless ``keep_user`` is false: a log and a journal are
    there to be searched for them.
    """

    def __init__(
        self, secrets: Iterable[str] = (), rules: Sequence[Rule] = (), keep_user: bool = True
    ) -> None:
        self._rules = tuple(rules)
        known = tuple(filter(None, secrets))
        self._lowered = tuple(secret.lower() for secret in known)
        self._search = Search(Marks(), dict.fromkeys(known, ""), rules, keep_user)
        self._short = lru_cache(_REMEMBERED)(self._redacted)

    def text(self, text: str) -> str:
        plain = _SIGNED_URL.fullmatch(text)
        if plain and not any(secret in plain[1] for secret in self._lowered):
            return f"{plain[1]}{REDACTED}&sign={REDACTED}"
        return self._short(text) if len(text) <= _LONGEST_REMEMBERED else self._redacted(text)

    def header(self, name: str, value: str) -> str:
        """A header's value without secrets; of one that is a secret only the scheme is left."""
        name = name.lower()
        if any(rule.kind == "header" and rule.what.lower() == name for rule in self._rules):
            return REDACTED if value else value
        if name in COOKIES:
            return without_cookies(name, value, REDACTED)
        if name in SECRET_HEADERS:
            scheme, _ = credentials(value)
            return scheme + (REDACTED if value.strip() else "")
        return self.text(value)

    def data(self, data: bytes) -> bytes:
        """``data``, which may be no text, without secrets."""
        search = self._search.fresh()
        return search.edits(search.read(data), ellipses=True).apply(data)

    def value(self, value: Any) -> Any:
        """A value of JSON without secrets in its texts and names."""
        if isinstance(value, dict | list):
            data = json.dumps(value).encode()
            redacted = self.data(data)
            try:
                return value if redacted == data else json.loads(redacted)
            except ValueError:  # what was replaced goes beyond one text
                pass
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def without_cut_secret(self, text: str) -> str:
        """``text`` that was cut short, without the beginning of a secret at its end."""
        data = encoded(text)
        cut = self._search.cut(data, len(data), LEAST_CUT)
        if cut is None:
            return text
        return data[: cut.start].decode("utf-8", "surrogateescape") + REDACTED

    def _redacted(self, text: str) -> str:
        data = encoded(text)
        redacted = self.data(data)
        return text if redacted == data else redacted.decode("utf-8", "surrogateescape")
