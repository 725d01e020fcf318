"""Takes the secrets out of an exchange before it is written.

Rules by name: ``keys`` (API keys and other secrets that are known), ``signatures`` (signatures and
nonces of URLs), ``cookies``, ``user``, and whatever a team adds (``dify_wire.redaction.rules``).
Bodies come decoded (``dify_wire.recording.decoding``), and are searched as a whole, so that a
border between chunks hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from dify_wire.exchange import Chunk, Headers, Recording, Request, announced
from dify_wire.recording.decoding import DECODED, UndecodableError, coding, decoded, without_coding
from dify_wire.redaction.fields import (
    COOKIES,
    SECRET_HEADERS,
    cookie_secrets,
    credentials,
    without_cookies,
)
from dify_wire.redaction.replacement import GONE, Edits, Pseudonyms
from dify_wire.redaction.rules import Rule
from dify_wire.redaction.text import Reading, Search

RULES = ("keys", "signatures", "cookies", "user")
"""The rules that always hold; ``user`` unless it is to be kept."""

MOST_COMPARED_BYTES = 256 << 10
"""A replay compares a longer body as it is: the server would stand still for its search."""

_WINDOW = 1 << 20
_OVERLAP = 64 << 10
_OPAQUE = ("image/", "audio/", "video/", "font/", "application/zip", "application/pdf")


class RecordingRedactor:
    """Redacts exchanges, all with the same pseudonyms.

    ``keys`` are the API keys that are known, each with its label; ``secrets`` whatever else must
    not be written.
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
        self._search = Search(Pseudonyms(salt), self.keys, self.rules, keep_user)
        for secret in filter(None, secrets):
            self._search.learn(secret, GONE, "keys", least=1)

    def redaction(self, exchange: Recording) -> ExchangeRedaction:
        """The redaction of ``exchange``, which learns its secrets from its head and bodies."""
        return ExchangeRedaction(self._search.fresh(exchange.app), self.rules, exchange)

    def request(self, request: Request, app: str | None) -> Request:
        """``request`` as it would be recorded; as it is if its body is too long."""
        if len(request.body) > MOST_COMPARED_BYTES:
            return request
        exchange = Recording(request=_decoded(request), status=0, name="", host="", app=app)
        return self.redaction(exchange).head(exchange).request


class ExchangeRedaction:
    """The redaction of one exchange, with a ``search`` that learns what it gives away."""

    def __init__(self, search: Search, rules: Sequence[Rule], exchange: Recording) -> None:
        self._search = search
        self._rules = rules
        self._applied = set(exchange.redacted)
        self._order = [*RULES, DECODED, *(rule.name for rule in rules), *exchange.redacted]
        self._opaque = _is_opaque(exchange.headers)
        for name, value in (*exchange.request.headers, *exchange.headers):
            self._learn_header(name.lower(), value)
            search.read(_wire(value))
        self._target = search.read(_wire(exchange.request.target))
        self._body = search.read(exchange.request.body, _is_opaque(exchange.request.headers))
        self._response_body = search.read(exchange.body, self._opaque)

    def learn(self, chunks: Iterable[Chunk], headers: Headers) -> None:
        """Learn what a body with these ``headers`` gives away that is too long for the memory."""
        for window, _ in _windows(chunks):
            self._search.read(_joined(window), _is_opaque(headers))

    def applied(self) -> tuple[str, ...]:
        """The names of the rules that changed something so far."""
        return tuple(sorted(self._applied, key=self._order.index))

    def head(self, exchange: Recording) -> Recording:
        """``exchange`` without secrets, with the bodies that it holds."""
        edits = self._search.edits(self._response_body, self._opaque, ended=True)
        chunks = self._replaced(exchange.chunks, edits)
        headers = self._headers(exchange.headers)
        return replace(
            exchange,
            note=self._text(exchange.note),
            host=self._text(exchange.host),
            request=self._request(exchange.request),
            reason=self._text(exchange.reason),
            headers=announced(headers, _size(exchange.chunks), _size(chunks)),
            chunks=tuple(chunks),
            redacted=self.applied(),
        )

    def stream(self, chunks: Iterable[Chunk], headers: Headers) -> Iterator[Chunk]:
        """A body with these ``headers`` that is too long for the memory, without secrets, piece by
        piece.
        """
        opaque = _is_opaque(headers)
        waiting: list[Chunk] = []
        for window, last in _windows(chunks, waiting):
            edits = self._search.edits(
                self._search.read(_joined(window), opaque), opaque, ended=last
            )
            ends = list(accumulate(len(chunk.data) for chunk in window))
            most = ends[-1] if last else ends[-1] - _OVERLAP
            whole = (n for n, end in enumerate(ends, 1) if end <= most and edits.cut_at(end))
            if count := max(whole, default=0):
                yield from self._replaced(window[:count], edits.up_to(ends[count - 1]))
            waiting[:] = window[count:]

    def _learn_header(self, name: str, value: str) -> None:
        if name in COOKIES:
            for secret in cookie_secrets(value):
                self._search.learn(secret, GONE, "cookies")
        elif name in SECRET_HEADERS:
            self._search.learn_credentials(value)
        for rule in self._header_rules(name):
            self._search.learn(value, GONE, rule.name)

    def _header_rules(self, name: str) -> list[Rule]:
        return [one for one in self._rules if one.kind == "header" and one.what.lower() == name]

    def _redacted(self, reading: Reading) -> bytes:
        edits = self._search.edits(reading)
        self._applied |= edits.rules()
        return edits.apply(reading.data)

    def _text(self, text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        return self._redacted(self._search.read(data)).decode("utf-8", "surrogateescape")

    def _headers(self, headers: Headers) -> Headers:
        return tuple((name, self._header(name.lower(), value)) for name, value in headers)

    def _header(self, name: str, value: str) -> str:
        rules = self._header_rules(name)
        if rules and value:
            written, rule = GONE, rules[0].name
        elif name in COOKIES:
            written, rule = without_cookies(name, value, GONE), "cookies"
        elif name in SECRET_HEADERS:
            scheme, key = credentials(value)
            written, rule = scheme + self._search.key(key) if key else value, "keys"
            self._applied |= {rule} if key else set()
        else:
            return self._redacted(self._search.read(_wire(value))).decode("latin-1")
        self._applied |= {rule} if written != value or rules else set()
        return written

    def _request(self, request: Request) -> Request:
        edits = self._search.edits(self._body)
        self._applied |= edits.rules()
        body = edits.apply(request.body)
        borders = edits.moved(list(accumulate(request.chunk_sizes)))
        sizes = (end - start for start, end in pairwise([0, *borders]))
        headers = self._headers(request.headers)
        return replace(
            request,
            target=self._redacted(self._target).decode("latin-1"),
            headers=announced(headers, len(request.body), len(body)),
            body=body,
            chunk_sizes=tuple(size for size in sizes if size),
        )

    def _replaced(self, chunks: Sequence[Chunk], edits: Edits) -> list[Chunk]:
        """``chunks`` after ``edits``, each with what its bytes became."""
        self._applied |= edits.rules()
        data = edits.apply(_joined(chunks))
        borders = edits.moved(list(accumulate(len(chunk.data) for chunk in chunks)))
        pieces = zip(chunks, pairwise([0, *borders]), strict=True)
        return [Chunk(chunk.at_s, data[start:end]) for chunk, (start, end) in pieces if end > start]


def _windows(
    chunks: Iterable[Chunk], waiting: list[Chunk] | None = None
) -> Iterator[tuple[list[Chunk], bool]]:
    """``chunks`` in parts that overlap, and whether a part is the last. After each part the reader
    leaves in its ``waiting`` what has to come again; without one, the overlap does.
    """
    overlap = waiting is None
    waiting = [] if waiting is None else waiting
    size, due = 0, _WINDOW
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk.data)
        if size >= due:
            yield list(waiting), False
            size = _size(waiting)
            while overlap and len(waiting) > 1 and size - len(waiting[0].data) >= _OVERLAP:
                size -= len(waiting.pop(0).data)
            due = max(_WINDOW, 2 * size)
    if waiting:
        yield list(waiting), True


def _is_opaque(headers: Headers) -> bool:
    """Whether no person reads the body: what looks like a secret in it is chance."""
    types = (value.strip().lower() for name, value in headers if name.lower() == "content-type")
    return any(media_type.startswith(_OPAQUE) for media_type in types)


def _wire(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _joined(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


def _size(chunks: Iterable[Chunk]) -> int:
    return sum(len(chunk.data) for chunk in chunks)


def _decoded(request: Request) -> Request:
    """``request`` without a content coding, as the recorder would have written it."""
    codings = coding(request.headers)
    if not (codings and request.body):
        return request
    try:
        body = _joined(decoded([Chunk(0, request.body)], codings, whole=True))
    except UndecodableError:
        return request
    headers = announced(without_coding(request.headers), len(request.body), len(body))
    return replace(request, headers=headers, body=body, chunk_sizes=())
