"""The host under test: what it offers, what was sent to it, and the evidence that checks share.

Evidence is fetched once and kept, so that checks share runs; each accepted run counts against the
budget, whoever caused it. After three requests in a row without a response the host gets no more;
after three responses that a host could give that is down or replaced, a probe finds out.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from contract.check import SIDE_REQUEST, Capability
from contract.result import NotRun
from contract.signature import SignedUrl, parse_url
from contract.sse import Frame, split_frames
from dify_wire.app_kind import AppKind
from dify_wire.exchange import Exchange, Request
from dify_wire.profile import Basis

RUN_PATH = "/v1/workflows/run"
PROMPT = "一个胸有成竹的男人"
"""The document's own prompt (document line 38); the recorded runs have it too."""

USER = "alg123"
FINITE_SPEED_S = 1.5
SILENT_AFTER = 3
DEFAULT_MAX_RUNS = 6
DEFAULT_TIMEOUT_S = 120.0
LEFT_OUT: Any = object()
"""In the changes to a run request: leave the field out."""

_UNSET: Any = object()
_IMAGE_OF_A_TOOL = ("image", "tool_file")


class Transport(Protocol):
    """Sends a request and returns its exchange; never raises for what a host does."""

    def send(
        self, request: Request, on_chunk: Callable[[bytes], None] | None = None
    ) -> Exchange: ...


class Clock(Protocol):
    """The host's clock (``contract.admin``). ``borrowed`` restores it at the end."""

    token: str | None

    def now(self) -> float: ...

    def advance(self, seconds: float) -> None: ...

    def set(self, at: float) -> None: ...

    def borrowed(self) -> AbstractContextManager[None]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the target offers. ``app_keys`` maps the kinds of other apps to their keys.

    The URLs of its files begin with ``files_url`` (FILES_URL on a Dify); without it they are
    relative. ``host_version`` is the one to compare it with, if not the one that it states.
    ``inputs`` are those of a run of another app than the document's.
    """

    api_key: str
    secret: str | None = None
    app_keys: Mapping[str, str] = field(default_factory=dict)
    all_models: bool = False
    free_runs: bool = False
    max_runs: int | None = DEFAULT_MAX_RUNS
    seed: int = 0
    clock: Clock | None = None
    files_url: str | None = None
    host_version: str | None = None
    inputs: Mapping[str, Any] | None = None

    @property
    def secrets(self) -> list[str]:
        """What must not be written anywhere, apart from the keys."""
        token = self.clock.token if self.clock is not None else None
        return [secret for secret in (self.secret, token) if secret]

    def has(self, capability: Capability) -> bool:
        """Whether it is there; ``FINITE_SPEED`` and ``IMAGE`` show only in a run."""
        if capability in _APP_KINDS:
            return _APP_KINDS[capability] in self.app_keys
        present = {
            Capability.SECRET: self.secret is not None,
            Capability.ALL_MODELS: self.all_models,
            Capability.FREE_RUNS: self.free_runs,
            Capability.CLOCK: self.clock is not None,
            Capability.DOCUMENT_APP: self.inputs is None,
        }
        return present[capability]


_APP_KINDS = {
    Capability.CHAT_KEY: AppKind.CHAT,
    Capability.UNPUBLISHED_KEY: AppKind.UNPUBLISHED,
    Capability.DISABLED_KEY: AppKind.DISABLED,
    Capability.DELETED_KEY: AppKind.DELETED,
}


class Target:
    """One host during one run of the suite. Safe to be used from several threads.

    ``gone`` says why the host gets no more requests. ``probe`` is set once a host has been seen to
    work (``contract.preflight``): it returns why the host no longer works, or None.
    """

    def __init__(self, transport: Transport, capabilities: Capabilities) -> None:
        self._transport = transport
        self.capabilities = capabilities
        self.exchanges: list[Exchange] = []
        self._changed = threading.Condition()
        self._shared: dict[str, Any] = {}
        self._fetching: dict[str, threading.RLock] = {}
        self._accepted_runs = 0
        self._runs_in_flight = 0
        self._silent_in_a_row = 0
        self._doubtful: list[Exchange] = []
        self.gone: str | None = None
        self.probe: Callable[[], str | None] | None = None

    # Sending

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        """Send ``request`` and keep the exchange. Raises ``NotRun`` if the host is gone, or the
        budget is spent.
        """
        with self._changed:
            if may_run(request):
                self._wait_for_budget()
            if self.gone:
                raise NotRun(self.gone)
            self._runs_in_flight += may_run(request)
        exchange = None
        try:
            exchange = self._transport.send(request, on_chunk)
        finally:
            self._count(request, exchange)
        self._watch(exchange)
        return exchange

    def send_aside(self, request: Request) -> Exchange:
        """The response to a request that is neither kept, nor recorded, nor counted."""
        token = SIDE_REQUEST.set(True)
        try:
            return self._transport.send(request)
        finally:
            SIDE_REQUEST.reset(token)

    def _wait_for_budget(self) -> None:
        """Wait while runs in flight may spend the rest of the budget."""
        limit = self.capabilities.max_runs
        while limit is not None and self._accepted_runs + self._runs_in_flight >= limit:
            if self._accepted_runs >= limit:
                raise NotRun(f"the budget of {limit} accepted runs is spent (--max-runs)")
            self._changed.wait()

    def _count(self, request: Request, exchange: Exchange | None) -> None:
        with self._changed:
            self._runs_in_flight -= may_run(request)
            if exchange is not None:
                self.exchanges.append(exchange)
                is_silent = exchange.status is None or exchange.timed_out
                self._silent_in_a_row = self._silent_in_a_row + 1 if is_silent else 0
                self._accepted_runs += is_accepted_run(exchange)
            self._changed.notify_all()

    def _watch(self, exchange: Exchange) -> None:
        """Find out whether the host is gone after a few doubtful responses in a row."""
        with self._changed:
            if not is_doubtful(exchange):
                self._doubtful.clear()
                return
            self._doubtful.append(exchange)
            if self._silent_in_a_row >= SILENT_AFTER and not self.gone:
                requests = f"{SILENT_AFTER} requests in a row without a response"
                self.gone = f"the host left {requests} and gets no more ({exchange.failure})"
            if self.gone or self.probe is None or len(self._doubtful) % SILENT_AFTER:
                return
        cause = self.probe()
        with self._changed:
            if cause is None:
                self._doubtful.clear()
            else:
                self.gone = f"the host went away during the run: {cause}"
            self._changed.notify_all()

    def ended_by(self, exchange: Exchange | None) -> bool:
        """Whether ``exchange`` is among the last ones of a host that is gone."""
        return self.gone is not None and any(one is exchange for one in self._doubtful)

    @property
    def basis(self) -> Basis:
        """What the host is compared with: the version given, or the one that it states first."""
        stated = (one.header("X-Version") for one in list(self.exchanges))
        return Basis(next(filter(None, stated), ""), self.capabilities.host_version)

    @property
    def accepted_runs(self) -> int:
        return self._accepted_runs

    @property
    def runs_without_response(self) -> int:
        """Runs that the host may have accepted: they failed, or are still in flight."""
        sent = [one for one in list(self.exchanges) if may_run(one.request) and one.connected]
        return sum(one.status in (None, 504) for one in sent) + self._runs_in_flight

    # Requests

    def run_request(self, key: str | None = None, **changes: Any) -> Request:
        """A run as in the document; ``changes`` replace fields of the body, ``LEFT_OUT`` drops
        one.
        """
        body = {"inputs": self.inputs, "response_mode": "blocking", "user": USER, **changes}
        body = {name: value for name, value in body.items() if value is not LEFT_OUT}
        return self.json_request("POST", RUN_PATH, body, key)

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of a run: those that were given, or the document's prompt alone."""
        given = self.capabilities.inputs
        return {"prompt": PROMPT} if given is None else dict(given)

    def json_request(self, method: str, path: str, body: Any, key: str | None = None) -> Request:
        """A request with a JSON body and a key (the target's own by default)."""
        return self.raw_request(method, path, json.dumps(body, ensure_ascii=False).encode(), key)

    def raw_request(self, method: str, path: str, body: bytes, key: str | None = None) -> Request:
        """As ``json_request``, with any bytes as the body."""
        json_type = ("Content-Type", "application/json")
        return Request(method, path, (self._authorization(key), json_type), body)

    def get_request(self, path: str, key: str | None = None, method: str = "GET") -> Request:
        """A request without a body."""
        return Request(method, path, (self._authorization(key),))

    def _authorization(self, key: str | None) -> tuple[str, str]:
        return ("Authorization", f"Bearer {key or self.capabilities.api_key}")

    # Evidence and capabilities

    def shared(self, name: str, fetch: Callable[[], Any]) -> Any:
        """What ``fetch`` returned the first time under ``name``; what it raised is raised again."""
        # One lock a name: fetching sends from other threads, and other names go on meanwhile.
        with self._changed:
            lock = self._fetching.setdefault(name, threading.RLock())
        with lock:
            found = self._shared.get(name, _UNSET)
            if found is _UNSET:
                try:
                    found = fetch()
                except Exception as error:
                    found = error
                self._shared[name] = found
        if isinstance(found, Exception):
            raise found
        return found

    def app_key(self, capability: Capability) -> str:
        return self.capabilities.app_keys[_APP_KINDS[capability]]

    @property
    def clock(self) -> Clock:
        """For checks that need ``Capability.CLOCK``."""
        assert self.capabilities.clock is not None
        return self.capabilities.clock


def may_run(request: Request) -> bool:
    """Whether a host, however lenient, could run a workflow for ``request``."""
    return request.method == "POST" and request.path.rstrip("/").endswith("/workflows/run")


def is_accepted_run(exchange: Exchange) -> bool:
    """Whether the host ran a workflow: any success on the run's path but a web page."""
    succeeded = exchange.status is not None and 200 <= exchange.status < 300
    return may_run(exchange.request) and succeeded and exchange.media_type != "text/html"


def is_doubtful(exchange: Exchange) -> bool:
    """Whether a host that is down, moved or replaced could respond so; many of a host's own errors
    are doubtful, too.
    """
    status = exchange.status
    if status is None or exchange.timed_out or exchange.media_type == "text/html":
        return True
    return status in (401, 404, 429) or status >= 500 or 300 <= status < 400


@dataclass(frozen=True, slots=True)
class Stream:
    """A streaming response in frames; ``tail`` is what came after the last whole frame."""

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
    """The URLs of the images in ``outputs``; None for one that is not a signed URL of the host."""
    return [parse_url(str(file.get("url"))) for file in images_within(outputs)]


def images_within(outputs: Any) -> list[Mapping[str, Any]]:
    """The image that a tool made, wherever in ``outputs`` it stands; under the document's name,
    ``files``, whatever is there.
    """
    files = outputs.get("files") if isinstance(outputs, dict) else None
    if isinstance(files, list) and files:
        return [file for file in files if isinstance(file, dict)]
    found = files_within(outputs)
    return [one for one in found if (one.get("type"), one["transfer_method"]) == _IMAGE_OF_A_TOOL]


def files_within(value: Any) -> Iterator[Mapping[str, Any]]:
    """The file objects anywhere within ``value``, in their order."""
    if isinstance(value, dict):
        if "transfer_method" in value and "related_id" in value:
            yield value
            return
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from files_within(part)


def ids_of(value: Any) -> list[Any]:
    """The ids of the file objects within ``value``."""
    return [file.get("related_id") for file in files_within(value)]
