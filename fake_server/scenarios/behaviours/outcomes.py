"""Behaviours of a whole run: they change its timeline, in both response modes alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fake_server.runs.engine import Timeline, cut
from fake_server.runs.events import WorkflowFinished
from fake_server.scenarios.behaviour import behaviour
from fake_server.scenarios.behaviours.nodes import with_fate
from fake_server.scenarios.effects import Effects
from fake_server.scenarios.parameters import Seconds

_BEYOND_ANY_LIMIT_S = 100_000.0

_AT_ONCE_S = 0.001
"""No run is stopped before it has begun."""


@behaviour(excludes="outcome")
def run_failed(error: str = "Max steps 30 reached.") -> Effects:
    """The run fails with ``error`` though none of its nodes did.

    Complaint: the client looks for the failed node to find out what went wrong, and there is none.
    Survive: the run's own status and error decide; nodes only illustrate.
    """
    return Effects(
        story=(_ended(lambda end: replace(end, status="failed", outputs=None, error=error)),)
    )


@behaviour(excludes="outcome")
def stopped(after_s: Seconds | None = None) -> Effects:
    """The run is stopped ``after_s`` seconds after its start, by default half-way: the node at work
    never finishes.

    Complaint: a third status beside succeeded and failed, and node_started without its
    node_finished. Survive: end every node's spinner when the run ends; do not wait for each node's
    own end.
    """

    def stop(timeline: Timeline) -> Timeline:
        ends_s = timeline[-1][0]
        at_s = max(_AT_ONCE_S, ends_s / 2 if after_s is None else after_s)
        return cut(timeline, at_s) if at_s < ends_s else timeline

    return Effects(story=(stop,))


@behaviour(excludes="outcome")
def run_limit_600s() -> Effects:
    """A node takes for ever, and the host itself stops the run after 600 s.

    Complaint: a run that hangs looks like a slow one for ten minutes, and then ends as stopped with
    status 200. Survive: set a deadline of your own and call the stop endpoint; stopped is no
    success.
    """
    return Effects(
        workflow=(
            with_fate(None, lambda fate: replace(fate, seconds=_BEYOND_ANY_LIMIT_S, spread=0.0)),
        )
    )


@behaviour(excludes="outcome")
def unknown_status(status: str = "partial-succeeded") -> Effects:
    """The run ends with a status that the document does not know, such as later versions of Dify
    have.

    Complaint: a switch over the three known statuses falls through, and the client waits for ever.
    Survive: treat any status but succeeded as an end without a promise, and log the word.
    """
    return Effects(story=(_ended(lambda end: replace(end, status=status)),))


def _ended(
    change: Callable[[WorkflowFinished], WorkflowFinished],
) -> Callable[[Timeline], Timeline]:
    def apply(timeline: Timeline) -> Timeline:
        at_s, end = timeline[-1]
        assert isinstance(end, WorkflowFinished)
        return (*timeline[:-1], (at_s, change(end)))

    return apply
