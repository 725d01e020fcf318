"""What a kind of node is: its call, its outcome, and how its data is checked in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.runs.events import Values
from fake_server.runs.random_values import RandomValues
from fake_server.workflow.expressions import (
    ABSENT,
    Pool,
    check_size,
    convert,
    fill_fake,
    fill_parameter,
    find,
)
from fake_server.workflow.jinja import RunSteps
from fake_server.workflow.model import Node, Selector, StartVariable


@dataclass(slots=True)
class NodeOutcome:
    """How a node ended. ``handle`` names the edge by which the run goes on.

    None where the node of the host gives nothing, ``{}`` where it gives an empty dictionary.
    ``error_type`` is the class of the error, which an error strategy passes on. ``chunks`` are the
    pieces in which an output became known, by its name, the last one its end; ``logs`` what an
    agent wrote, and when; ``writes`` the values that an assigner sets; ``form`` the form that
    somebody has to fill in before the run goes on.
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
    ``sys``; ``attempt`` counts the tries of a node that is retried; ``steps`` are those that
    the templates of the run have left.
    """

    node: Node
    variables: Sequence[StartVariable]
    inputs: Values
    pool: Pool
    draw: RandomValues
    seconds: float
    spec: HostSpec
    attempt: int = 0
    steps: RunSteps | None = None

    @property
    def error(self) -> str | None:
        """The error with which this try ends, as the file or a scenario has it."""
        behaviour = self.node.behaviour
        if behaviour.error is behaviour.fault is behaviour.missing is None:
            return None
        if behaviour.fails is not None and self.attempt >= behaviour.fails:
            return None
        if behaviour.missing is not None:
            report = missing_report(self.node, self.spec)
            return (behaviour.error or report.text) if report.when == "node" else None
        if behaviour.error is None and behaviour.fault is not None:
            text = self.spec.nodes.faults.get(behaviour.fault)  # None: the version hides it
            return text and text.replace("{provider}", str(self.node.data.get("provider_id", "")))
        return behaviour.error

    def find(self, selector: Any) -> Any:
        """The value at ``selector``; ``ABSENT`` where it leads nowhere."""
        return find(self.pool, selector or ("",))

    def value(self, selector: Any) -> Any:
        """The value at ``selector``; None where it leads nowhere."""
        value = self.find(selector)
        return None if value is ABSENT else value

    def text(self, template: Any) -> str:
        """``template`` with its references filled in."""
        if self.spec.nodes.references == "strings":
            return fill_parameter(str(template), self.pool)
        return convert(str(template), self.pool)

    def parameter(self, given: Any) -> Any:
        """The value of a parameter: a plain one, or one of the type variable, mixed or constant;
        ``ABSENT`` where it has none.
        """
        if not isinstance(given, dict):
            return given
        kind, value = given.get("type"), given.get("value")
        is_old = self.spec.nodes.references == "strings"
        if kind == "variable":
            found = self.find(value) if isinstance(value, list) else ABSENT
            return None if found is ABSENT and is_old else found
        if isinstance(value, str) and (kind == "mixed" or not is_old):
            return self.text(value)
        return value

    def picked(self, schema: str, values: Values) -> dict[str, Any]:
        """``values`` with the fields that the objects of ``schema`` have in this version."""
        names = self.spec.fields.get(schema, ())
        return dict(zip(names, map(values.get, names), strict=True))

    def variables_of_data(self) -> dict[str, Any]:
        """The values of ``variables`` of the node's data, by the names that it gives them."""
        declared = self.node.data.get("variables")
        values = {
            str(one["variable"]): self.value(one.get("value_selector"))
            for one in (declared if isinstance(declared, list) else ())
            if isinstance(one, Mapping) and "variable" in one
        }
        check_size(values)
        return values


class MissingReport(NamedTuple):
    """How a host reports a model, a provider or a tool that is not installed (``x-fake.missing``):
    the version says when it notices, and in which words [C: g_badmodel_block, g_noprovider_block,
    g_badtool_block].

    ``when``: ``build``, before there is a run; ``node``, as the error of the node; ``crash``,
    with the host's own failure.
    """

    when: str
    text: str


def missing_report(node: Node, spec: HostSpec) -> MissingReport:
    """How the version reports what ``node`` misses, which has to miss something."""
    rule, data = spec.graph.missing[node.behaviour.missing or "model"], node.data
    model = data.get("model") or {}
    text = rule["text"].format(
        model=model.get("name", ""),
        provider=model.get("provider", ""),
        tool=data.get("provider_id", ""),
        request_id=sha256(node.node_id.encode()).hexdigest()[:10],
    )
    return MissingReport(rule["when"], text)


def check_selector(field: Field) -> None:
    """Fail unless ``field`` is a path of a node and one of its outputs."""
    if len(field.texts()) < 2:
        field.fail("a selector names a node and one of its outputs: [node id, output]")


def check_nothing(data: Field) -> None:
    """A kind whose data the fake does not read, or reads with care."""


def fixed_outputs(call: NodeCall) -> dict[str, Any]:
    """The outputs that the file gives, their texts filled."""
    return {
        name: fill_fake(value, call.pool) if isinstance(value, str) else value
        for name, value in (call.node.behaviour.outputs or {}).items()
    }


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type of nodes: ``check`` fails for data that ``run`` cannot use; ``seconds`` is the usual
    duration.

    ``fault`` names the host's error when what stands behind a node fails (``x-host.nodes.faults``);
    ``error_type`` is its class. A kind that ``reports_more_than_error`` also runs for an error of
    ``x-fake``. ``runs`` is False for a kind whose outputs only something real could make: they are
    placeholders of the declared types.
    """

    run: Callable[[NodeCall], NodeOutcome]
    check: Callable[[Field], None] = check_nothing
    seconds: float = 0.05
    fault: str = "node"
    error_type: str = ""
    reports_more_than_error: bool = False
    runs: bool = True
