"""What a kind of node is: its call, its outcome, and how its data is checked in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.runs.events import Values
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import Pool, fill_fake
from fake_server.workflow.model import Node, Selector, StartVariable


@dataclass(slots=True)
class NodeOutcome:
    """How a node ended. ``handle`` names the edge by which the run goes on.

    Of an empty dictionary and None the version makes null or ``{}``. ``error_type`` is the class
    of the error, which an error strategy passes on. ``chunks`` are the pieces in which an output
    became known, by its name; ``logs`` what an agent wrote, and when; ``writes`` the values that
    an assigner sets; ``form`` the form that somebody has to fill in before the run goes on.
    """

    seconds: float
    inputs: Values | None = None
    process_data: Values | None = None
    outputs: Values | None = None
    error: str | None = None
    execution_metadata: Values | None = None
    total_tokens: int = 0
    handle: str = "source"
    error_type: str = ""
    chunks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    logs: tuple[tuple[float, Values], ...] = ()
    writes: tuple[tuple[Selector, Any], ...] = ()
    form: Values | None = None


@dataclass(slots=True)
class NodeCall:
    """What a node works with. ``inputs`` are the start variables of the run with the values of
    ``sys``; ``attempt`` counts the tries of a node that is retried.
    """

    node: Node
    variables: Sequence[StartVariable]
    inputs: Values
    pool: Pool
    draw: RandomValues
    seconds: float
    spec: HostSpec
    attempt: int = 0


def check_selector(field: Field) -> None:
    """Fail unless ``field`` is a path of a node and one of its outputs."""
    if len(field.texts()) < 2:
        field.fail("a selector names a node and one of its outputs: [node id, output]")


def check_nothing(data: Field) -> None:
    """A kind whose data the fake does not read."""


def fixed_outputs(call: NodeCall) -> Values:
    """The outputs that the file gives, their texts filled."""
    return {
        name: fill_fake(value, call.pool) if isinstance(value, str) else value
        for name, value in (call.node.behaviour.outputs or {}).items()
    }


def run_fixed(call: NodeCall) -> NodeOutcome:
    """A node that only something real could run: its outputs stand in the file."""
    return NodeOutcome(call.seconds, outputs=fixed_outputs(call) or None)


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type of nodes: ``check`` fails for data that ``run`` cannot use; ``seconds`` is the usual
    duration, ``failure`` the host's error when what stands behind a node fails. A kind that
    ``reports_more_than_error`` also runs for ``x-fake.error``.
    """

    run: Callable[[NodeCall], NodeOutcome] = run_fixed
    check: Callable[[Field], None] = check_nothing
    seconds: float = 0.05
    failure: str = "Invalid value selector"
    reports_more_than_error: bool = False
