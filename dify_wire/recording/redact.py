"""Takes the secrets out of an exchange before it is written.

Rules by name: ``keys`` (API keys, other told secrets), ``signatures`` (signatures and nonces of URLs), ``cookies``,
``user``, and whatever a team adds (``dify_wire.recording.rules``); ``encoding`` says that a compressed body was
unpacked for it. What one part of an exchange gives away (a header, a field, a parameter) is looked for in all its
other parts (``dify_wire.recording.search``). A body is searched as a whole, so that a border between chunks hides
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from urllib.parse import parse_qsl

from dify_wire.recording import decoding
from dify_wire.recording.exchange import Chunk, Headers, RecordedRequest, Recording, announced
from dify_wire.recording.pseudonyms import GONE, Pseudonyms
from dify_wire.recording.rules import Rule
from dify_wire.recording.search import Search, named_users
from dify_wire.redact import SECRET_HEADERS, credentials

RULES = ("keys", "signatures", "cookies", "user")
"""The rules that always hold; ``user`` unless it is to be kept."""

UNPACKED = "encoding"
"""Named beside the rules where a body was unpacked, so that it could be searched."""

_WINDOW = 1 << 20
_OVERLAP = 64 << 10
_COOKIES = ("cookie", "set-cookie")
_COOKIE = re.compile(r"(?P<name>[^=;,\s]+=)(?P<value>[^;\s]+)")
_OPAQUE = ("image/", "audio/", "video/", "font/", "application/zip", "application/pdf")


class RecordingRedactor:
    """Redacts exchanges, all with the same pseudonyms.

    ``keys`` are the API keys that are known, each with its label; ``secrets`` whatever else must not be written.
    """

    def __init__(
        self,
        keys: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        rules: Sequence[Rule] = (),
        keep_user: bool = False,
        salt: bytes | None = None,
    ) -> None:
        self.keys = dict(keys or {})
        self.rules = tuple(rules)
        self._secrets = tuple(secret for secret in secrets if secret)
        self._keep_user = keep_user
        self._pseudonyms = Pseudonyms(salt)

    def redaction(self, exchange: Recording) -> ExchangeRedaction:
        """The redaction of ``exchange``, from whose head and bodies its own secrets are learned."""
        search = Search(self.keys, self.rules, self._keep_user, self._pseudonyms, exchange.app)
        for key, label in self.keys.items():
            search.learn(key, self._pseudonyms.key(key, label), "keys", least=1)
        for secret in self._secrets:
            search.learn(secret, GONE, "keys", least=1)
        return ExchangeRedaction(search, self.rules, exchange)

    def request(self, request: RecordedRequest, app: str | None) -> RecordedRequest:
        """``request`` as it would be recorded."""
        exchange = Recording("", app, "", 0, "", "", request, 0, "", (), (), 0)
        return self.redaction(exchange).head(exchange).request


class ExchangeRedaction:
    """The redaction of one exchange, with a ``search`` that learns what it gives away."""

    def __init__(self, search: Search, rules: Sequence[Rule], exchange: Recording) -> None:
        self._search = search
        self._rules = rules
        self._applied = search.applied
        self._applied.update(exchange.redacted)
        self._order = list(dict.fromkeys([*RULES, UNPACKED, *(rule.name for rule in rules), *exchange.redacted]))
        self._request_coding = decoding.coding(exchange.request.headers)
        self._answer_coding = decoding.coding(exchange.headers) if exchange.request.method != "HEAD" else ""
        self._opaque = exchange.header("content-type").lower().startswith(_OPAQUE)
        self._learn(exchange)

    def applied(self) -> tuple[str, ...]:
        """The names of the rules that changed something so far."""
        return tuple(sorted(self._applied, key=self._order.index))

    def head(self, exchange: Recording) -> Recording:
        """``exchange`` without secrets, with the bodies that it holds."""
        chunks, headers = list(exchange.chunks), exchange.headers
        if self._answer_coding:
            headers = decoding.without_coding(headers)
            chunks = list(self._unpacked(chunks, self._answer_coding)) if chunks else []
        chunks, _ = self._window(chunks, _size(chunks))
        return replace(
            exchange,
            note=self._text(exchange.note),
            host=self._text(exchange.host),
            request=self._redacted_request(exchange.request),
            reason=self._text(exchange.reason),
            headers=announced(self._redacted_headers(headers), _size(exchange.chunks), _size(chunks)),
            chunks=tuple(chunks),
            redacted=self.applied(),
        )

    def stream(self, chunks: Iterable[Chunk], headers: Headers) -> Iterator[Chunk]:
        """A body with these ``headers`` that is too long for the memory, without secrets, piece by piece."""
        coding = decoding.coding(headers)
        if coding:
            chunks = self._unpacked(chunks, coding)
        waiting: list[Chunk] = []
        size, due = 0, _WINDOW
        for chunk in chunks:
            waiting.append(chunk)
            size += len(chunk.data)
            if size >= due:
                done, waiting = self._window(waiting, size - _OVERLAP)
                size = _size(waiting)
                due = max(_WINDOW, 2 * size)
                yield from done
        yield from self._window(waiting, size)[0]

    # What the exchange gives away -----------------------------------------------------------------------------------

    def _learn(self, exchange: Recording) -> None:
        """Everything secret that the exchange names somewhere, to be found wherever else it stands."""
        for name, value in (*exchange.request.headers, *exchange.headers):
            self._learn_header(name.lower(), value)
        target = exchange.request.target.encode("latin-1", "replace")
        request_body = self._request_body(exchange.request)
        for data in (target, request_body, exchange.body if not self._answer_coding else b""):
            self._search.learn_tokens(data)
        for data in (target, request_body):
            self._search.learn_fields(data)
        in_query = {value for name, value in parse_qsl(exchange.request.query) if name == "user"}
        for user in in_query | named_users(request_body):
            self._search.learn_user(user)

    def _learn_header(self, name: str, value: str) -> None:
        if name in _COOKIES:
            for cookie in _cookies(name, value):
                self._search.learn(cookie["value"], GONE, "cookies")
        elif name in SECRET_HEADERS:
            _, key = credentials(value)
            self._search.learn(key, self._search.key(key), "keys")
        for rule in self._header_rules(name):
            self._search.learn(value, GONE, rule.name)

    def _header_rules(self, name: str) -> Iterator[Rule]:
        return (rule for rule in self._rules if rule.kind == "header" and rule.what.lower() == name.lower())

    # Its parts without it -------------------------------------------------------------------------------------------

    def _redacted(self, data: bytes) -> bytes:
        edits = self._search.edits(data)
        self._applied |= edits.rules()
        return edits.apply(data)

    def _text(self, text: str) -> str:
        return self._redacted(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _wire_text(self, text: str) -> str:
        return self._redacted(text.encode("latin-1", "replace")).decode("latin-1")

    def _redacted_headers(self, headers: Headers) -> Headers:
        return tuple((name, self._header(name.lower(), value)) for name, value in headers)

    def _header(self, name: str, value: str) -> str:
        rule = next(self._header_rules(name), None)
        if rule is not None and value:
            self._applied.add(rule.name)
            return GONE
        if name in _COOKIES:
            return self._cookie(name, value)
        if name not in SECRET_HEADERS:
            return self._wire_text(value)
        scheme, key = credentials(value)
        if not key:
            return value
        self._applied.add("keys")
        return scheme + self._search.key(key)

    def _cookie(self, name: str, value: str) -> str:
        for cookie in reversed(list(_cookies(name, value))):
            self._applied.add("cookies")
            value = value[: cookie.start("value")] + GONE + value[cookie.end("value") :]
        return self._wire_text(value)

    def _redacted_request(self, request: RecordedRequest) -> RecordedRequest:
        headers, sizes = request.headers, request.chunk_sizes
        if self._request_coding:
            headers, sizes = decoding.without_coding(headers), ()
            self._applied.add(UNPACKED)
        body = self._request_body(request)
        edits = self._search.edits(body)
        self._applied |= edits.rules()
        redacted = edits.apply(body)
        borders = edits.moved(list(accumulate(sizes)))
        return replace(
            request,
            target=self._wire_text(request.target),
            headers=announced(self._redacted_headers(headers), len(request.body), len(redacted)),
            body=redacted,
            chunk_sizes=tuple(end - start for start, end in zip([0, *borders], borders, strict=False) if end > start),
        )

    def _request_body(self, request: RecordedRequest) -> bytes:
        """The body as it is searched: unpacked."""
        if not self._request_coding or not request.body:
            return request.body
        return b"".join(chunk.data for chunk in decoding.decoded([Chunk(0, request.body)], self._request_coding))

    def _unpacked(self, chunks: Iterable[Chunk], coding: str) -> Iterator[Chunk]:
        self._applied.add(UNPACKED)
        return decoding.decoded(chunks, coding)

    def _window(self, chunks: list[Chunk], most: int) -> tuple[list[Chunk], list[Chunk]]:
        """Those of ``chunks`` that end within the first ``most`` bytes, redacted, and the ones that are left.

        None is cut in two, and none is given out before the secret that goes on in the next one.
        """
        data = b"".join(chunk.data for chunk in chunks)
        edits = self._search.edits(data, self._opaque)
        ends = list(accumulate(len(chunk.data) for chunk in chunks))
        count = next((n for n in range(len(ends), 0, -1) if ends[n - 1] <= most and edits.cut_at(ends[n - 1])), 0)
        end = ends[count - 1] if count else 0
        edits = edits.up_to(end)
        self._applied |= edits.rules()
        redacted, borders = edits.apply(data[:end]), edits.moved(ends[:count])
        pieces = zip(chunks, [0, *borders], borders, strict=False)
        return [Chunk(chunk.at_s, redacted[start:to]) for chunk, start, to in pieces if to > start], chunks[count:]


def _cookies(name: str, value: str) -> Iterator[re.Match[str]]:
    """The pairs of a header that have a value; after the first one of Set-Cookie there are attributes only."""
    if name == "cookie":
        yield from _COOKIE.finditer(value)
    elif match := _COOKIE.match(value):
        yield match


def _size(chunks: Iterable[Chunk]) -> int:
    return sum(len(chunk.data) for chunk in chunks)
