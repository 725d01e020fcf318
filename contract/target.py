"""A host to be judged: what it lends, what it has been asked, and the evidence that checks share.

Checks ask a ``Target`` for evidence (a blocking run, a stream, a refusal) and judge what comes.
Evidence is fetched once and kept, so that checks share runs; each accepted run counts against the
budget, whoever caused it.

After three requests in a row without an answer the host is not asked again; after three answers
that a host could give whose time is over, it is asked aside whether it is still there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from contract.check import Capability
from contract.current_check import SIDE_REQUEST
from contract.result import NotRun, Skipped
from contract.signature import SignedUrl, parse_url
from contract.sse import Frame, split_frames
from dify_wire.app_kind import AppKind
from dify_wire.exchange import Exchange, Request

if TYPE_CHECKING:
    from contract.admin import AdminClock

RUN_PATH = "/v1/workflows/run"
PROMPT = "一个胸有成竹的男人"
"""The document's own prompt (document line 38); the recorded runs have it too."""

USER = "alg123"
FINITE_SPEED_S = 1.5
SILENT_AFTER = 3
DEFAULT_MAX_RUNS = 6
DEFAULT_TIMEOUT_S = 120.0
_UNSET: Any = object()


class Transport(Protocol):
    """Sends a request and returns all that came back; never raises for what a host does."""

    def send(
        self, request: Request, on_chunk: Callable[[bytes], None] | None = None
    ) -> Exchange: ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the target lends. ``app_keys`` maps a kind (chat, unpublished, disabled, deleted) to a
    key.

    ``files_url`` stands before the URLs of its files (FILES_URL on a Dify); without it they are
    relative. ``secrets`` are those of what is lent, for whoever must not write them.
    """

    api_key: str
    secret: str | None = None
    app_keys: Mapping[str, str] = field(default_factory=dict)
    all_models: bool = False
    free_runs: bool = False
    max_runs: int | None = DEFAULT_MAX_RUNS
    seed: int = 0
    clock: AdminClock | None = None
    files_url: str | None = None

    @property
    def secrets(self) -> list[str]:
        token = self.clock.token if self.clock is not None else None
        return [secret for secret in (self.secret, token) if secret]


_APP_KINDS = {
    Capability.CHAT_KEY: AppKind.CHAT,
    Capability.UNPUBLISHED_KEY: AppKind.UNPUBLISHED,
    Capability.DISABLED_KEY: AppKind.DISABLED,
    Capability.DELETED_KEY: AppKind.DELETED,
}


class Target:
    """One host during one run of the suite. Safe to be used from several threads.

    ``gone`` says why the host is not asked any more; ``still_there`` finds out, and is set once a
    host has been seen to work (``contract.preflight``): it returns the cause, or None for a host
    that still works.
    """

    def __init__(self, transport: Transport, capabilities: Capabilities) -> None:
        self._transport = transport
        self.capabilities = capabilities
        self.exchanges: list[Exchange] = []
        self._changed = threading.Condition()
        self._shared: dict[str, Any] = {}
        self._fetching: dict[str, threading.RLock] = {}
        self._accepted_runs = 0
        self._runs_under_way = 0
        self._silent_in_a_row = 0
        self._doubtful: list[Exchange] = []
        self.gone: str | None = None
        self.still_there: Callable[[], str | None] | None = None

    # Asking
    # ---------------------------------------------------------------------------------------------------------

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """Send ``request`` and keep the exchange. Raises ``NotRun`` where the host is not to be
        asked any more.
        """
        self._admit(request)
        exchange = None
        try:
            exchange = self._transport.send(request, on_chunk)
        finally:
            self._note(request, exchange)
        self._look_after(exchange)
        return exchange

    def send_aside(self, request: Request) -> Exchange:
        """The answer to what no check asks: neither kept, nor recorded, nor counted."""
        token = SIDE_REQUEST.set(True)
        try:
            return self._transport.send(request)
        finally:
            SIDE_REQUEST.reset(token)

    def _look_after(self, exchange: Exchange) -> None:
        """Note an answer that makes one doubt the host, and find out after a few in a row."""
        with self._changed:
            if not is_doubtful(exchange):
                self._doubtful.clear()
                return
            self._doubtful.append(exchange)
            if self._silent_in_a_row >= SILENT_AFTER:
                reason = f"the host left {SILENT_AFTER} requests in a row without an answer and is not asked again"
                self.gone = self.gone or f"{reason} ({exchange.failure})"
            if self.gone or self.still_there is None or len(self._doubtful) % SILENT_AFTER:
                return
        cause = self.still_there()
        with self._changed:
            if cause is None:
                self._doubtful.clear()
            else:
                self.gone = f"the host went away during the run: {cause}"
            self._changed.notify_all()

    def ended_by(self, exchange: Exchange | None) -> bool:
        """Whether ``exchange`` is among the last answers of a host that has gone, and says nothing
        else of it.
        """
        return self.gone is not None and any(one is exchange for one in self._doubtful)

    def _admit(self, request: Request) -> None:
        with self._changed:
            if may_run(request):
                self._await_budget()
            if self.gone:
                raise NotRun(self.gone)
            self._runs_under_way += may_run(request)

    def _await_budget(self) -> None:
        """Wait while the answers under way may spend the rest of the budget; raise ``NotRun`` where
        it is spent.
        """
        limit = self.capabilities.max_runs
        while limit is not None and self._accepted_runs + self._runs_under_way >= limit:
            if self._accepted_runs >= limit:
                raise NotRun(f"the budget of {limit} accepted runs is spent (--max-runs)")
            self._changed.wait()

    def _note(self, request: Request, exchange: Exchange | None) -> None:
        with self._changed:
            self._runs_under_way -= may_run(request)
            if exchange is not None:
                self.exchanges.append(exchange)
                self._silent_in_a_row = self._silent_in_a_row + 1 if left_waiting(exchange) else 0
                self._accepted_runs += is_accepted_run(exchange)
            self._changed.notify_all()

    @property
    def accepted_runs(self) -> int:
        """The runs that the host accepted."""
        return self._accepted_runs

    @property
    def runs_without_answer(self) -> int:
        """Runs that the host may have accepted: no answer came, or it is still on its way."""
        lost = [one for one in list(self.exchanges) if may_run(one.request) and one.connected]
        return sum(one.status in (None, 504) for one in lost) + self._runs_under_way

    def run_request(self, key: str | None = None, **changes: Any) -> Request:
        """A run of the document's kind; ``changes`` replace fields of the body, the value
        ``LEFT_OUT`` drops one.
        """
        body = {"inputs": {"prompt": PROMPT}, "response_mode": "blocking", "user": USER, **changes}
        body = {name: value for name, value in body.items() if value is not LEFT_OUT}
        return self.json_request("POST", RUN_PATH, body, key)

    def json_request(self, method: str, path: str, body: Any, key: str | None = None) -> Request:
        """A request with a JSON body and a key (the target's own where none is given)."""
        return self.raw_request(method, path, json.dumps(body, ensure_ascii=False).encode(), key)

    def raw_request(self, method: str, path: str, body: bytes, key: str | None = None) -> Request:
        """As ``json_request``, with a body of any bytes that says it is JSON."""
        headers = (
            ("Authorization", f"Bearer {key or self.capabilities.api_key}"),
            ("Content-Type", "application/json"),
        )
        return Request(method, path, headers, body)

    def get_request(self, path: str, key: str | None = None, method: str = "GET") -> Request:
        """A request without a body, with a key."""
        return Request(
            method, path, (("Authorization", f"Bearer {key or self.capabilities.api_key}"),)
        )

    # Shared evidence
    # ------------------------------------------------------------------------------------------------

    def shared(self, name: str, fetch: Callable[[], Any]) -> Any:
        """What ``fetch`` returned the first time under ``name``; a ``NotPassed`` that it raised is
        raised again.
        """
        with self._changed:
            fetching = self._fetching.setdefault(name, threading.RLock())
        with fetching:  # one lock a name: whoever fetches sends from other threads, and the rest goes on meanwhile
            found = self._shared.get(name, _UNSET)
            if found is _UNSET:
                try:
                    found = fetch()
                except Exception as verdict:
                    found = verdict
                self._shared[name] = found
        if isinstance(found, Exception):
            raise found
        return found

    # Powers
    # ---------------------------------------------------------------------------------------------------------

    def require(self, capability: Capability) -> None:
        """Raise ``Skipped`` where the target does not lend ``capability``."""
        if not self._has(capability):
            raise Skipped(f"needs {capability}")

    def _has(self, capability: Capability) -> bool:
        if capability in _APP_KINDS:
            return _APP_KINDS[capability] in self.capabilities.app_keys
        if capability is Capability.FINITE_SPEED:
            return self._is_slow()
        capabilities = {
            Capability.SECRET: self.capabilities.secret is not None,
            Capability.ALL_MODELS: self.capabilities.all_models,
            Capability.FREE_RUNS: self.capabilities.free_runs,
            Capability.CLOCK: self.capabilities.clock is not None,
        }
        return capabilities[capability]

    def _is_slow(self) -> bool:
        from contract.evidence import stream

        return stream(self).exchange.seconds >= FINITE_SPEED_S

    def app_key(self, capability: Capability) -> str:
        """The key that ``capability`` stands for."""
        return self.capabilities.app_keys[_APP_KINDS[capability]]

    @property
    def clock(self) -> AdminClock:
        """The host's clock, for checks that need ``Capability.CLOCK``."""
        assert self.capabilities.clock is not None
        return self.capabilities.clock


LEFT_OUT: Any = object()
"""In the changes to a run request: leave the field out."""


def may_run(request: Request) -> bool:
    """Whether a host, however lenient, could take ``request`` for a run."""
    return request.method == "POST" and request.path.rstrip("/").endswith("/workflows/run")


def is_accepted_run(exchange: Exchange) -> bool:
    """Whether the host ran a workflow for it: any success on the run's path but a page for
    people.
    """
    succeeded = exchange.status is not None and 200 <= exchange.status < 300
    return may_run(exchange.request) and succeeded and exchange.media_type != "text/html"


def is_doubtful(exchange: Exchange) -> bool:
    """Whether a host that is down, moved or replaced could have answered so; many of a host's own
    refusals are, too.
    """
    status = exchange.status
    if status is None or exchange.timed_out or exchange.media_type == "text/html":
        return True
    return status in (401, 404, 429) or status >= 500 or 300 <= status < 400


def left_waiting(exchange: Exchange) -> bool:
    """Whether the host left the request without an answer, or without the end of one, until time
    was up.
    """
    return exchange.status is None or exchange.timed_out


@dataclass(frozen=True, slots=True)
class Stream:
    """A streaming answer taken apart. ``tail`` is what came after the last whole frame."""

    exchange: Exchange
    frames: tuple[Frame, ...]
    tail: bytes

    @classmethod
    def of(cls, exchange: Exchange) -> Stream:
        frames, tail = split_frames(exchange.chunks)
        return cls(exchange, tuple(frames), tail)

    @property
    def data_frames(self) -> list[tuple[Frame, Mapping[str, Any]]]:
        """The data frames with their JSON, pings left out."""
        return [(frame, frame.data) for frame in self.frames if frame.data is not None]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """The ``data`` of each event of that name."""
        return [
            envelope["data"]
            for _, envelope in self.data_frames
            if envelope.get("event") == name and isinstance(envelope.get("data"), dict)
        ]


def file_urls(outputs: Any) -> list[SignedUrl | None]:
    """The URLs of the file objects among ``outputs``; None for one that has not the host's form."""
    files = (outputs or {}).get("files") if isinstance(outputs, dict) else None
    return [parse_url(str(file.get("url"))) for file in files or () if isinstance(file, dict)]
