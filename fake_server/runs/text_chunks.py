"""Which parts of outputs a stream shows as text_chunk, and when.

Each End node has a list of the outputs that it gives out, in its order. Once it is certain that the
run reaches the node, they are sent one after the other, each as soon as it is known: bit by bit
where its node streams it, else whole when its node has ended. An output that never comes holds back
those behind it [C: tool_image_url_stream, http_default_stream].

Early versions send only texts of models, and those that a node has streamed too early they send
whole once it has ended. Versions before them send nothing (FACTS 5.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import Event, NodeFinished, TextChunk, Timeline, WorkflowStarted
from fake_server.workflow.model import Edge, Node, Selector, Workflow

_BRANCHES = {"if-else", "question-classifier", "human-input"}
_CONTAINERS = {"iteration", "loop"}
_FAIL_BRANCH = "fail-branch"
_DECIDING = (WorkflowStarted, TextChunk, NodeFinished)
"""The events that say something of values and ways; all others stay where they are."""


def with_text_chunks(timeline: Timeline, workflow: Workflow, spec: HostSpec) -> Timeline:
    """``timeline`` with the text_chunk events of this version in place of what nodes stream."""
    kind = spec.stream.text_chunks
    if kind == "none":
        return tuple(one for one in timeline if not isinstance(one[1], TextChunk))
    chunks = _ModelTexts(workflow) if kind == "llm" else _AllOutputs(workflow)
    found: list[tuple[float, Event]] = []
    for entry in timeline:
        at_s, event = entry
        if isinstance(event, _DECIDING):
            found += [(at_s, shown) for shown in chunks.shown(event)]
        else:
            found.append(entry)
    return tuple(found)


def stream_after(
    earlier: Iterable[Event], rest: Timeline, workflow: Workflow, spec: HostSpec
) -> Timeline:
    """``rest`` as its stream has it, of a run in which ``earlier`` happened before a pause."""
    before = tuple((-1.0, event) for event in earlier if isinstance(event, NodeFinished))
    timeline: Timeline = (*before, *rest)
    return tuple(one for one in with_text_chunks(timeline, workflow, spec) if one[0] >= 0.0)


class _Graph:
    """What is known of the run's way through the graph: nodes and edges that are certain to be
    reached, and nodes that are not.

    An edge out of a branch or a container is open only once it is taken.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._left = {node_id: len(edges) for node_id, edges in workflow.incoming.items()}
        self.skipped = set[str]()
        self.certain = set[str]()
        if workflow.start is not None:
            self._reach([workflow.start.node_id])

    def _reach(self, pending: list[str]) -> None:
        """Add nodes to the certain ones, and those that they lead to without a decision."""
        while pending:
            node_id = pending.pop()
            if node_id in self.certain:
                continue
            self.certain.add(node_id)
            node = self._workflow.nodes[node_id]
            if node.type not in _CONTAINERS and not _branches(node):
                pending += [edge.target for edge in self._workflow.outgoing[node_id]]

    def leave(self, node_id: str, handle: str | None) -> Iterator[Edge]:
        """The edges by which the run leaves a node that has ended, one by one."""
        edges = self._workflow.outgoing.get(node_id, ())
        if _branches(self._workflow.nodes[node_id]):
            self._skip(edge for edge in edges if edge.handle != handle)
            edges = tuple(edge for edge in edges if edge.handle == handle)
        for edge in edges:
            self._reach([edge.target])
            yield edge

    def _skip(self, edges: Iterable[Edge]) -> None:
        """Skip nodes to which no other edge can lead any more."""
        pending = list(edges)
        while pending:
            target = pending.pop().target
            self._left[target] -= 1
            if self._left[target] == 0:
                self.skipped.add(target)
                pending += self._workflow.outgoing[target]


def _branches(node: Node) -> bool:
    return node.type in _BRANCHES or node.data.get("error_strategy") == _FAIL_BRANCH


def _end_outputs(node: Node) -> list[Selector]:
    selectors = [output.get("value_selector") for output in node.data.get("outputs") or ()]
    return [tuple(map(str, selector)) for selector in selectors if selector]


@dataclass(slots=True)
class _Session:
    """The outputs of an End node, and how many of them have been sent."""

    end_id: str
    outputs: Sequence[Selector]
    sent: int = 0
    separated: bool = True
    """Whether the separator before the next output has been sent."""


@dataclass(slots=True)
class _Values:
    """What the nodes have given out so far."""

    known: dict[str, Any]
    buffers: dict[Selector, deque[TextChunk]] = field(default_factory=dict)
    closed: set[Selector] = field(default_factory=set)

    def find(self, selector: Selector) -> tuple[bool, Any]:
        """Whether there is a value, and the value."""
        value: Any = self.known
        for name in selector:
            if not isinstance(value, Mapping) or name not in value:
                return False, None
            value = value[name]
        return True, value


class _AllOutputs:
    """Every output of the End nodes, with line breaks between them; of several End nodes one after
    the other.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._graph = _Graph(workflow)
        self._values = _Values(
            {"env": dict(workflow.environment), "conversation": dict(workflow.conversation)}
        )
        ends = [node for node in workflow.nodes.values() if node.type == "end" and not node.parent]
        self._pending = {end.node_id: _Session(end.node_id, _end_outputs(end)) for end in ends}
        self._active = deque[_Session]()

    def shown(self, event: Event) -> Iterator[Event]:
        """The events of the stream for one of the run's."""
        match event:
            case WorkflowStarted(inputs):
                self._values.known["sys"] = {
                    name.removeprefix("sys."): value
                    for name, value in inputs.items()
                    if name.startswith("sys.")
                }
                yield event
            case TextChunk(_, selector, final):
                key = tuple(selector)
                self._values.buffers.setdefault(key, deque()).append(event)
                if final:
                    self._values.closed.add(key)
                yield from self._flush()
            case NodeFinished() if event.started.node_id in self._workflow.nodes:
                if event.started.place.container is None:
                    yield from self._ended(event)
                yield event
            case _:
                yield event

    def _ended(self, event: NodeFinished) -> Iterator[TextChunk]:
        node_id = event.started.node_id
        if event.status == "failed":
            return
        self._values.known[node_id] = event.outputs or {}
        if event.status == "succeeded":
            yield from self._flush()
        for _ in self._graph.leave(node_id, event.handle):
            yield from self._activate()

    def _activate(self) -> Iterator[TextChunk]:
        """Begin with the End nodes that have become certain."""
        for end_id in [end_id for end_id in self._pending if end_id in self._graph.certain]:
            self._active.append(self._pending.pop(end_id))
            if len(self._active) == 1:
                yield from self._flush()

    def _flush(self) -> Iterator[TextChunk]:
        """All that can be sent now."""
        while self._active:
            session = self._active[0]
            while session.sent < len(session.outputs):
                if not session.separated:
                    yield TextChunk("\n", (session.end_id, "answer"))
                    session.separated = True
                selector = session.outputs[session.sent]
                if selector[0] not in self._graph.skipped:
                    unread = self._values.buffers.get(selector)
                    while unread:
                        yield unread.popleft()
                    if selector not in self._values.closed:
                        is_known, value = self._values.find(selector)
                        if not is_known:
                            return
                        yield TextChunk(value, selector)
                session.sent += 1
                session.separated = False
            self._active.popleft()


class _ModelTexts:
    """Texts of models that the End nodes give out; those of different models begin new lines."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._graph = _Graph(workflow)
        self._values = _Values({})
        models = [node.node_id for node in workflow.nodes.values() if node.type == "llm"]
        texts = {(node_id, "text") for node_id in models}
        self._sessions = [
            _Session(node.node_id, [one for one in _end_outputs(node) if one in texts])
            for node in workflow.nodes.values()
            if node.type == "end"
        ]
        self._streaming: dict[str, list[_Session]] = {}
        """By the node that streams: the End nodes whose next output that is."""
        self._shown_nodes = set[str]()

    def shown(self, event: Event) -> Iterator[Event]:
        """The events of the stream for one of the run's."""
        if isinstance(event, TextChunk):
            node_id = event.selector[0]
            if node_id not in self._streaming:
                self._streaming[node_id] = self._waiting_for(tuple(event.selector))
            inside = self._workflow.nodes[node_id].parent is not None
            if inside or self._streaming[node_id]:
                yield self._on_a_new_line(event)
            return
        yield event
        if not isinstance(event, NodeFinished) or event.status == "failed":
            return
        node_id = event.started.node_id
        self._values.known[node_id] = event.outputs or {}
        for session in self._streaming.pop(node_id, ()):
            session.sent += 1
        for _ in self._graph.leave(node_id, event.handle):
            pass
        for session in self._sessions:
            if session.end_id in self._graph.certain:
                yield from self._whole_texts(session)

    def _waiting_for(self, selector: Selector) -> list[_Session]:
        return [
            session
            for session in self._sessions
            if session.end_id in self._graph.certain
            and list(session.outputs[session.sent : session.sent + 1]) == [selector]
        ]

    def _whole_texts(self, session: _Session) -> Iterator[TextChunk]:
        for selector in session.outputs[session.sent :]:
            is_known, text = self._values.find(selector)
            if not is_known:
                return
            if text:
                yield self._on_a_new_line(TextChunk(text, selector))
            session.sent += 1

    def _on_a_new_line(self, chunk: TextChunk) -> TextChunk:
        node_id = chunk.selector[0]
        begins_line = bool(self._shown_nodes) and node_id not in self._shown_nodes
        self._shown_nodes.add(node_id)
        return TextChunk(f"\n{chunk.value}", chunk.selector) if begins_line else chunk
