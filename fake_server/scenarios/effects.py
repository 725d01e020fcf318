"""What the behaviours of one request do to it, by the stage at which they do it.

The stages in their order: ``front`` (an answer before the host looks at the request),
``remote_file`` (what the host says of the address of a user's file), ``answer`` (one instead of the
host's, once it has accepted the request), ``workflow`` (how nodes fare), ``story`` (the timeline
before pings), ``ping``, ``events`` (the timeline of a stream, pings included), then what is told:
``url``, ``told``; then the bytes: ``frames`` (which count events) and ``chunks`` (which cut, join
and hold them back). ``gateway``, ``endless`` and ``blobs`` are said beside them, as are
``real_waits`` (which no speed shortens) and ``unwaited`` (what to note where an instant host waits
for nothing). Everything here is pure; what waits, sends or breaks a connection is the server's
part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from fake_server.apps import App
from fake_server.http.errors import HostError, HostErrors
from fake_server.http.responses import Response
from fake_server.runs.engine import Timeline
from fake_server.spec import HostSpec, PingRule
from fake_server.workflow.model import Workflow

T = TypeVar("T")


class InterceptedRequest(Protocol):
    """What a behaviour that responds in the host's place knows of the request."""

    @property
    def spec(self) -> HostSpec: ...

    @property
    def operation_id(self) -> str: ...

    def app(self) -> App: ...

    def running_runs(self) -> int: ...

    def response(
        self, status: int, content_type: bytes, body: bytes, *own: tuple[bytes, bytes]
    ) -> Response: ...

    def json_response(
        self, value: object, status: int = 200, *own: tuple[bytes, bytes]
    ) -> Response: ...

    def error_response(self, error: HostError) -> Response: ...


Responder = Callable[[InterceptedRequest], Response | None]
"""Responds in the host's place; None leaves the request to the host."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for ``seconds`` of the timeline."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Break:
    """The connection ends here: with a reset, or closed as if the sender had died."""

    reset: bool


Piece = bytes | Pause | Break
"""What becomes of bytes on their way: a chunk of their own, a wait, the end of the connection."""


class PieceMaker(Protocol):
    """Turns the chunks of one answer into pieces."""

    def feed(self, chunk: bytes) -> Iterable[Piece]:
        """What goes out for one more chunk: a whole frame of a stream, or a part of any other
        body.
        """

    def end(self) -> Iterable[Piece]:
        """What still goes out when the answer is over."""


class Blob(Protocol):
    """What becomes of a picture's bytes, which come and go in parts; None where they are gone."""

    def spoil(self, png: Sequence[bytes]) -> Sequence[bytes] | None: ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """A proxy that gives up after ``after_s`` seconds of the run and answers ``page`` (of the
    proxy's name) itself.
    """

    after_s: float
    status: int
    page: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class UrlSigning:
    """How the URL of a picture is changed: signed ``age_s`` seconds ago, made absolute, then put
    through ``change``.

    ``base`` gives the address that stands before the path; it gets the one by which the client
    reaches the host.
    """

    age_s: float = 0.0
    base: Callable[[str], str] | None = None
    change: Callable[[str], str | None] = lambda url: url


@dataclass(frozen=True, slots=True)
class RealWait:
    """The nodes that ``node`` means take ``seconds`` of the clock, whatever the speed."""

    node: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What is done to one request. Of several behaviours at one stage, later ones act on what
    earlier ones left.
    """

    front: tuple[Responder, ...] = ()
    remote_file: tuple[Callable[[str, HostErrors], HostError], ...] = ()
    answer: tuple[Responder, ...] = ()
    workflow: tuple[Callable[[Workflow], Workflow], ...] = ()
    story: tuple[Callable[[Timeline], Timeline], ...] = ()
    ping: tuple[Callable[[PingRule], PingRule], ...] = ()
    events: tuple[Callable[[Timeline], Timeline], ...] = ()
    url: tuple[UrlSigning, ...] = ()
    told: tuple[Callable[[Mapping[str, Any]], Mapping[str, Any]], ...] = ()
    frames: tuple[Callable[[], PieceMaker], ...] = ()
    chunks: tuple[Callable[[], PieceMaker], ...] = ()
    blobs: tuple[Blob, ...] = ()
    real_waits: tuple[RealWait, ...] = ()
    unwaited: tuple[str, ...] = ()
    gateway: tuple[Gateway, ...] = ()
    endless: bool = False

    @property
    def pieces(self) -> tuple[Callable[[], PieceMaker], ...]:
        """The makers through which the bytes of the answer go, one after the other."""
        return (*self.frames, *self.chunks)

    def __add__(self, other: Effects) -> Effects:
        return Effects(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in _STAGES
            }
        )


def changed(value: T, changes: Iterable[Callable[[T], T]]) -> T:
    """``value`` after all ``changes`` of a stage, in their order."""
    for change in changes:
        value = change(value)
    return value


_STAGES = fields(Effects)

NO_EFFECTS = Effects()
"""Of a request that no rule matches."""
