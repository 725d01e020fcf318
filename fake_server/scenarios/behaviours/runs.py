"""Behaviours of a run and its nodes: they are the same in both response modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import Timeline, WorkflowFinished, cut
from fake_server.scenarios.behaviour import behaviour
from fake_server.scenarios.effects import Effects, RealWait, change_nodes, override
from fake_server.scenarios.parameters import Seconds
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node
from fake_server.workflow.nodes import NODE_KINDS, UNKNOWN_KIND

_SLOW_S = 60.0
_BEYOND_ANY_LIMIT_S = 100_000.0
_MIN_RUN_S = 0.001
"""No run is stopped before it has begun."""


@behaviour(excludes="slow {node}")
def slow(
    node: str | None = None, seconds: Seconds | None = None, real_seconds: Seconds | None = None
) -> Effects:
    """A node takes ``seconds``: the ``node`` of that id, title or type, by default those that take
    the longest anyway.

    The run reports ``seconds`` (60, or ``real_seconds`` where that is given); the host waits for
    them by its speed, and at ``instant`` not at all. With ``real_seconds`` it waits for so many
    seconds of its clock at any speed.

    Complaint: an image that usually takes 18 s takes minutes when the GPU is busy, and clients give
    up at 30 s.
    Survive: use streaming, take pings as signs of life, and let the deadline be for silence and not
    for the whole run.
    """
    reported_s = next((given for given in (seconds, real_seconds) if given is not None), _SLOW_S)
    workflow = (override(node, seconds=reported_s, spread=0.0),)
    if real_seconds is None:
        note = (
            "slow: the host is instant and does not wait for seconds;"
            f" real_seconds={reported_s:g} waits {reported_s:g} s at any speed"
        )
        return Effects(workflow=workflow, instant_notes=(note,))
    return Effects(workflow=workflow, real_waits=(RealWait(node, real_seconds),))


@behaviour(excludes="node")
def node_failed(node: str | None = None, error: str | None = None) -> Effects:
    """A node fails with ``error``; the run ends as failed, and the HTTP status is 200 all the same.

    ``node`` is an id, title or type, by default that of the nodes that take the longest. ``error``
    is by default the host's own text for a node of that type.

    Complaint: the client looks at the status code alone and shows an empty image for a failed run.
    Survive: read data.status of the response or of workflow_finished before data.outputs, and show
    data.error.
    """

    def fail(one: Node) -> NodeBehaviour:
        if error is not None:
            return one.behaviour._replace(error=error)
        fault = NODE_KINDS.get(one.type, UNKNOWN_KIND).fault
        return one.behaviour._replace(error=None, fault=fault, fails=None)

    return Effects(workflow=(change_nodes(node, fail),))


@behaviour(excludes="node")
def tool_failed_silently(text: str | None = None) -> Effects:
    """The tool makes no image and reports that only in its ``text``: the run has succeeded, its
    files are empty. The text is by default the tool's own in this version of the host.

    Complaint: "succeeded", and outputs.files is []: the first element of it is an error in the
    client.
    Survive: take no files for a failure of its own kind, and offer to try again.
    """
    messages = None if text is None else (text,)
    return Effects(workflow=(override("tool", no_image=True, outputs=None, text=messages),))


@behaviour(excludes="outcome")
def run_failed(error: str = "Max steps 30 reached.") -> Effects:
    """The run fails with ``error`` though none of its nodes did.

    Complaint: the client looks for the failed node to find out what went wrong, and there is none.
    Survive: the run's own status and error decide; nodes only illustrate.
    """
    return Effects(timeline=(_with_end(status="failed", outputs=None, error=error),))


@behaviour(excludes="outcome")
def stopped(after_s: Seconds | None = None) -> Effects:
    """The run is stopped ``after_s`` seconds after its start, by default half-way: the running node
    never finishes.

    Complaint: a third status beside succeeded and failed, and node_started without its
    node_finished.
    Survive: end every node's spinner when the run ends; do not wait for each node's own end.
    """

    def stop(timeline: Timeline, spec: HostSpec) -> Timeline:
        ends_s = timeline[-1][0]
        at_s = max(_MIN_RUN_S, ends_s / 2 if after_s is None else after_s)
        return cut(timeline, at_s, spec.run.stop_error) if at_s < ends_s else timeline

    return Effects(timeline=(stop,))


@behaviour(excludes="outcome")
def run_limit_600s() -> Effects:
    """A node never finishes, and the host itself stops the run after 600 s.

    Complaint: a run that hangs looks like a slow one for ten minutes, and then ends as stopped with
    status 200.
    Survive: set a deadline of your own and call the stop endpoint; stopped is not a success.
    """
    return Effects(workflow=(override(None, seconds=_BEYOND_ANY_LIMIT_S, spread=0.0),))


@behaviour(excludes="outcome")
def unknown_status(status: str = "partial-succeeded") -> Effects:
    """The run ends with a status that the document does not know, such as later versions of Dify
    have.

    Complaint: a switch over the three known statuses falls through, and the client waits for ever.
    Survive: treat any status but succeeded as an end without a promise, and log the word.
    """
    return Effects(timeline=(_with_end(status=status),))


def _with_end(**changes: Any) -> Callable[[Timeline, HostSpec], Timeline]:
    """Changes the end of a run; one that waits for input, or that never began, stays as it is."""

    def apply(timeline: Timeline, _: HostSpec) -> Timeline:
        at_s, end = timeline[-1]
        if not isinstance(end, WorkflowFinished):
            return timeline
        return (*timeline[:-1], (at_s, end._replace(**changes)))

    return apply
