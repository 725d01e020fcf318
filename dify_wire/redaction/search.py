"""Finds the secrets of an exchange: what its parts give away, wherever else and however it is
written.

A part is read first, which learns what it gives away, and searched when all parts have been read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import chain

from dify_wire.redaction.edits import Edit, Edits
from dify_wire.redaction.fields import FieldReader, Value, at_pointer, parts
from dify_wire.redaction.headers import SECRET_HEADERS, credential_parts, credentials
from dify_wire.redaction.needles import Hit, Needles, Secret
from dify_wire.redaction.pseudonyms import KEY, Names, is_a_name
from dify_wire.redaction.rules import Rule
from dify_wire.redaction.views import View, as_utf8, unescaped, views

FINDABLE = 6
"""What is shorter is taken out where it is named; looked for everywhere it would hit what is no
secret.
"""

_LEAST_KEY = 16
"""A shorter value of a field for keys, such as "string" in a document, is also a word."""

LEAST_CUT = 4
"""Of a secret that was cut short for a reader, so many bytes have to be there to know it."""

_LEAST_TOKEN = 16
_ELLIPSIS = re.compile("…".encode())
_SIGNATURES = ("sign", "nonce")
_NUMBER = "1"
"""In place of a user that is a number: not 0, which the host takes for no user."""
_KEY_FIELDS = frozenset(
    {
        "api_key",
        "apikey",
        "secret_key",
        "access_token",
        "refresh_token",
        "client_secret",
        *SECRET_HEADERS,
    }
) - {"cookie", "set-cookie"}
_DIFY_KEY = re.compile(rb"(?<![A-Za-z0-9_])app-[A-Za-z0-9]{24}(?![A-Za-z0-9])", re.IGNORECASE)
_TOKEN = re.compile(
    rb"(?:[A-Za-z0-9_\-+/=~.]|%(?:25)*[0-9A-Fa-f]{2}|\\+(?:/|(?:u00|x)[0-9A-Fa-f]{2}))*"
)
_PADDING = re.compile(rb"(?:=|%(?:25){0,8}3[dD]|\\{1,16}(?:u00|x)3[dD]){0,2}$")
_LONGEST_PADDING = 64
_PADS = (b"=", b"d", b"D")


@dataclass(slots=True)
class Reading:
    """A part that has been read: all views of it, and what is to be replaced because of the field
    that it stands in.

    ``recoded`` is the same part in UTF-8, where it may be text in another ``coding``.
    """

    data: bytes
    views: list[View]
    edits: list[Edit] = field(default_factory=list)
    coding: str = "utf-8"
    recoded: Reading | None = None


class Search:
    """Looks for the ``keys``, which have labels, and for what is learned since."""

    def __init__(
        self, names: Names, keys: Mapping[str, str], rules: Sequence[Rule], keep_user: bool
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
                self._named.setdefault(rule.pointer[-1] if rule.pointer else rule.what, []).append(
                    rule
                )
        self._fields = FieldReader(
            [*_KEY_FIELDS, *(() if keep_user else ("user",))], _SIGNATURES, self._named
        )
        for key, label in keys.items():
            self.learn(key, names.key(key, label), "keys", least=1)

    def fresh(self, app: str | None = None) -> Search:
        """One that knows what this one knows, and learns without telling it; ``app`` is the label
        of other keys.
        """
        made = copy(self)
        made.app = app
        made.needles = (*self.needles, Needles())
        return made

    # What is looked for
    # ---------------------------------------------------------------------------------------------

    def learn(self, secret: str, replacement: str, rule: str, least: int = FINDABLE) -> None:
        """Look for ``secret`` everywhere from now on, if it has at least ``least`` characters."""
        if len(secret) >= least and not any(secret in needles for needles in self.needles):
            self.needles[-1].add(Secret(secret, replacement.encode(), rule, word=rule == "user"))

    def key(self, key: str) -> str:
        """What is written in place of an API key."""
        if KEY.fullmatch(key):  # a recording that is redacted again
            return key
        return self._names.key(key, self._keys.get(key, self.app))

    def learn_credentials(self, value: str, least: int = FINDABLE) -> str:
        """Look for the secret of an ``Authorization`` or the like; what is written in place of
        ``value``.
        """
        scheme, key = credentials(value)
        for one in (key, key.rstrip(")]},;.")):
            self.learn(one, self.key(one), "keys", least)
        for part in credential_parts(value):
            self.learn(part, self._names.gone, "keys")
        return scheme + self.key(key) if key else value

    def read(self, data: bytes, opaque: bool = False) -> Reading:
        """Learn what ``data`` gives away; of what is ``opaque``, and read by no person, nothing is
        learned.
        """
        reading = self._read(data, opaque)
        plain, reading.coding = as_utf8(data)
        if reading.coding != "utf-8":
            reading.recoded = self._read(plain, opaque)
        return reading

    def _read(self, data: bytes, opaque: bool) -> Reading:
        reading = Reading(data, list(views(data)))
        for view in reading.views if not opaque else ():
            reading.edits += self._rule_edits(view)
        pointed = {
            rule: at_pointer(data, rule.pointer)
            for rule in self._rules
            if rule.pointer and not opaque
        }
        for view in reading.views if not opaque else ():
            for value in self._values(view):
                rule = next(
                    (
                        rule
                        for rule in self._named.get(value.name, ())
                        if _fits(value, pointed.get(rule))
                    ),
                    None,
                )
                reading.edits += (
                    self._named_edit(view, value, rule) if rule else self._field_edit(view, value)
                )
        for view in reading.views:
            for match in _DIFY_KEY.finditer(view.data):
                key = match[0].decode()
                self.learn(key, self.key(key), "keys")
        return reading

    def _values(self, view: View) -> Iterator[Value]:
        yield from self._fields.values(view)
        if view.parent is None and b"isposition" in view.lowered:
            for part in parts(view.data):
                if part.name in self._named or part.name in _KEY_FIELDS or part.name == "user":
                    yield part

    def _named_edit(self, view: View, value: Value, rule: Rule) -> list[Edit]:
        """What replaces the value of a field that ``rule`` names; learns it."""
        if value.is_text:
            self.learn(value.text, self._names.gone, rule.name)
        return _edit(
            view, value.start, value.end, self._names.gone if value.is_text else "0", rule.name
        )

    def _field_edit(self, view: View, value: Value) -> list[Edit]:
        """What replaces ``value`` where its field holds a secret; learns it."""
        name = value.name.lower()
        if not value.is_text:
            if name != "user" or self._keep_user or len(value.text) < FINDABLE:
                return []
            self.learn(value.text, _NUMBER, "user")
            return _edit(view, value.start, value.end, _NUMBER, "user")
        if name in _SIGNATURES:
            return self._signature(view, value)
        if name in _KEY_FIELDS:
            written = self.learn_credentials(value.text, _LEAST_KEY)
            return _edit(view, value.start, value.end, written, "keys")
        if name == "user" and not self._keep_user and is_a_name(value.text):
            written = self._names.user(value.text)
            self.learn(value.text, written, "user")
            return _edit(view, value.start, value.end, written, "user")
        return []

    def _signature(self, view: View, value: Value) -> list[Edit]:
        """What replaces a signature or a nonce, up to its padding; learns it."""
        data = view.data[value.start : value.end]
        token = _TOKEN.match(data)
        if token is not None and token.end() >= _LEAST_TOKEN:
            data = token[0]
        padding = (
            _PADDING.search(data, max(0, len(data) - _LONGEST_PADDING))
            if data[-1:] in _PADS
            else None
        )
        data = data[: padding.start()] if padding else data
        bare = unescaped(data).decode("utf-8", "surrogateescape")
        written = self._names.token(bare)
        if len(bare) >= _LEAST_TOKEN:
            self.learn(bare, written, "signatures")
        end = value.start + len(data) if self._names.keeps_padding else value.end
        return _edit(view, value.start, end, written, "signatures")

    def _rule_edits(self, view: View) -> Iterator[Edit]:
        for rule in self._rules:
            if rule.kind == "text":
                for match in re.finditer(rule.what.encode(), view.data):
                    if match[0] and view.is_new(*match.span()):
                        yield from _edit(view, *match.span(), self._names.gone, rule.name)

    # Where it stands
    # ------------------------------------------------------------------------------------------------

    def edits(
        self, reading: Reading, opaque: bool = False, ended: bool = False, ellipses: bool = False
    ) -> Edits:
        """All edits of what was read.

        A secret may have been cut short where the data has ``ended``, and before ``ellipses``.
        """
        made = self._edits(reading, opaque, ellipses)
        if ended and (cut := self.cut(reading.data, len(reading.data), FINDABLE)):
            made.append(Edit(cut.start, cut.end, self._names.gone.encode(), cut.secret.rule))
        if reading.recoded is not None:
            plain = self.edits(reading.recoded, opaque, ended, ellipses)
            recoded = plain.recoded(reading.recoded.data, reading.coding)
            made = [
                edit for edit in made if recoded.cut_at(edit.start) and recoded.cut_at(edit.end)
            ]
            made += (
                recoded  # those of a view whose characters begin a byte off would cut a character
            )
        return Edits(edit for edit in made if edit.data != reading.data[edit.start : edit.end])

    def _edits(self, reading: Reading, opaque: bool, ellipses: bool) -> list[Edit]:
        made = list(reading.edits)
        for view in reading.views:
            for start, end, secret in self._hits(view):
                if not (opaque and secret.word):
                    made += _edit(view, start, end, secret.replacement, secret.rule)
            for match in _ELLIPSIS.finditer(view.data) if ellipses else ():
                if cut := self.cut(view.data, match.start(), LEAST_CUT):
                    made += _edit(view, cut.start, cut.end, cut.secret.replacement, cut.secret.rule)
        return made

    def _hits(self, view: View) -> Iterator[Hit]:
        return chain.from_iterable(needles.find(view) for needles in self.needles)

    def cut(self, data: bytes, end: int, least: int) -> Hit | None:
        """The longest beginning of a secret, of at least ``least`` bytes, that stands before
        ``end``.
        """
        found = (needles.cut(data, end, least) for needles in self.needles)
        return min((hit for hit in found if hit), key=lambda hit: hit.start, default=None)


def _fits(value: Value, pointed: set[str] | None) -> bool:
    """Whether a rule without a pointer names the value, or the one whose pointer leads to these."""
    if pointed is None:
        return True
    try:
        return json.dumps(value.text if value.is_text else json.loads(value.text)) in pointed
    except ValueError:
        return False


def _edit(view: View, start: int, end: int, replacement: str | bytes, rule: str) -> list[Edit]:
    """The edit of the original, if there is one."""
    data = (
        replacement.encode("utf-8", "surrogateescape")
        if isinstance(replacement, str)
        else replacement
    )
    lifted = view.lift(start, end, data) if end > start else None
    return [] if lifted is None else [Edit(*lifted, rule)]
