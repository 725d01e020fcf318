"""What the behaviours of one request do to it, by the stage at which they do it.

Everything here is pure; waiting, sending and breaking a connection are the server's part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fake_server.host_spec import HostError, HostErrors, HostSpec, PingRule
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node, Workflow

if TYPE_CHECKING:
    from fake_server.images.faults import ImageFault
    from fake_server.runs.events import Timeline


class Pause(NamedTuple):
    """Nothing is sent for ``seconds`` of the timeline."""

    seconds: float


class Break(NamedTuple):
    """The connection ends here: with a reset, or closed as if the sender had died."""

    reset: bool


Segment = bytes | Pause | Break
"""A part of a body on its way: a chunk, a wait, the end of the connection."""


class BodyFilter:
    """Turns the chunks of one response into segments."""

    def feed(self, chunk: bytes) -> Iterable[Segment]:
        """The segments for one more chunk: a frame of a stream, or a part of another body."""
        raise NotImplementedError

    def end(self) -> Iterable[Segment]:
        """The segments that are left when the response is over."""
        return ()


class ResponseApp(Protocol):
    """A response as an ASGI app."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class InterceptedRequest(Protocol):
    """What a behaviour that responds in the host's place knows of the request."""

    @property
    def spec(self) -> HostSpec: ...

    @property
    def operation_id(self) -> str: ...

    @property
    def app_id(self) -> str: ...

    def running_runs(self) -> int: ...

    def response(
        self, status: int, content_type: bytes, body: bytes, *own: tuple[bytes, bytes]
    ) -> ResponseApp: ...

    def json_response(
        self, value: object, status: int = 200, *own: tuple[bytes, bytes]
    ) -> ResponseApp: ...

    def error_response(self, error: HostError) -> ResponseApp: ...


Responder = Callable[[InterceptedRequest], ResponseApp | None]
"""Responds in the host's place; None leaves the request to the host."""


class Gateway(NamedTuple):
    """A proxy that gives up after ``after_s`` seconds of the run and responds itself.

    ``page`` makes its body from the name of the proxy.
    """

    after_s: float
    status: int
    page: Callable[[str], bytes]


class UrlChange(NamedTuple):
    """How the URL of an image is changed: signed earlier, made absolute, then rewritten.

    ``base`` makes the address before the path from the one by which the client reaches the host.
    """

    age_s: float = 0.0
    base: Callable[[str], str] | None = None
    rewrite: Callable[[str], str | None] = lambda url: url


class RealWait(NamedTuple):
    """The nodes that ``node`` selects take ``seconds`` of the clock, at any speed."""

    node: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Effects:
    """What is done to one request, in the order of the stages.

    Of several behaviours at one stage, later ones act on the result of earlier ones.
    """

    early_responses: tuple[Responder, ...] = ()
    """Instead of the host, which never sees the request."""
    remote_file: tuple[Callable[[str, HostErrors], HostError], ...] = ()
    """The host's error for the address of a user's file."""
    responses: tuple[Responder, ...] = ()
    """Instead of the host's response, once it has accepted the request."""
    workflow: tuple[Callable[[Workflow], Workflow], ...] = ()
    timeline: tuple[Callable[[Timeline, HostSpec], Timeline], ...] = ()
    """What happens in the run, whatever a stream shows of it."""
    ping: tuple[Callable[[PingRule], PingRule], ...] = ()
    stream: tuple[Callable[[Timeline], Timeline], ...] = ()
    """The timeline of a stream, with pings."""
    url: tuple[UrlChange, ...] = ()
    payload: tuple[Callable[[Mapping[str, Any]], Mapping[str, Any]], ...] = ()
    """The JSON of a response or an event."""
    frame_filters: tuple[Callable[[], BodyFilter], ...] = ()
    """Those that count events; they act before ``chunk_filters``, which cut and join them."""
    chunk_filters: tuple[Callable[[], BodyFilter], ...] = ()
    image_faults: tuple[ImageFault, ...] = ()
    real_waits: tuple[RealWait, ...] = ()
    instant_notes: tuple[str, ...] = ()
    """Notes for whoever ordered the behaviour on a host that waits for nothing."""
    gateway: tuple[Gateway, ...] = ()
    endless: bool = False
    body_filters: tuple[Callable[[], BodyFilter], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "body_filters", (*self.frame_filters, *self.chunk_filters))

    def __add__(self, other: Effects) -> Effects:
        return Effects(**{name: getattr(self, name) + getattr(other, name) for name in _STAGES})


_STAGES = [one.name for one in fields(Effects) if one.init]

NO_EFFECTS = Effects()


def override(node: str | None, **changes: Any) -> Callable[[Workflow], Workflow]:
    """Makes ``changes`` to the behaviour of the selected nodes."""
    return change_nodes(node, lambda one: one.behaviour._replace(**changes))


def change_nodes(
    node: str | None, change: Callable[[Node], NodeBehaviour]
) -> Callable[[Workflow], Workflow]:
    def apply(workflow: Workflow) -> Workflow:
        nodes = dict(workflow.nodes)
        for one in workflow.select(node):
            nodes[one.node_id] = one._replace(behaviour=change(one))
        return replace(workflow, nodes=nodes)

    return apply
