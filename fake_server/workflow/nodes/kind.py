"""What a kind of node is: its call, its outcome, and how its data is checked in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from dify_wire.strict import Field
from fake_server.host_spec import HostSpec
from fake_server.images import ImageRecord
from fake_server.runs.values import FileRef, Values
from fake_server.workflow.expressions import (
    ABSENT,
    TOO_LONG,
    Pool,
    RunSteps,
    check_size,
    convert,
    fill_fake,
    fill_parameter,
    find,
    read,
    selectors,
    text_of,
)

if TYPE_CHECKING:
    from fake_server.runs.random_values import RandomValues
    from fake_server.workflow.behaviour import FakeFile
    from fake_server.workflow.model import Node, Selector, StartVariable

MAX_IMAGE_NUMBER = 4096
"""The most pixels a side, and steps, of an image."""

IMAGE_NUMBERS = {"steps": 10, "width": 1024, "height": 1024}
"""The numeric settings of Stable Diffusion with their defaults."""

_PROMPTS = ("prompt", "query", "text", "input", "content", "instruction", "description")
"""The parameters that may say what an image shows."""

RECORD_CHARACTERS = 6000
"""The part of a text that an image can show; no more of it is stored."""


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
    the templates of the run have left, ``error`` is that with which this try ends, as the file or a
    scenario has it.
    """

    node: Node
    variables: Sequence[StartVariable]
    inputs: Values
    pool: Pool
    random: RandomValues
    seconds: float
    spec: HostSpec
    attempt: int = 0
    steps: RunSteps | None = None
    error: str | None = None

    def find(self, selector: Any) -> Any:
        """The value at ``selector``; ``ABSENT`` where it leads nowhere."""
        return find(self.pool, selector or ("",))

    def value(self, selector: Any) -> Any:
        """The value at ``selector``; None where it leads nowhere."""
        return read(self.pool, selector or ("",))

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
        return {name: values.get(name) for name in self.spec.fields.get(schema, ())}

    def drawn_file(self, values: Mapping[str, Any], wanted: FakeFile) -> FileRef | None:
        """A file that the node gives, an image of what ``values`` say, else of its title; None for
        sizes and steps that no tool draws.
        """
        prompt = self.node.title
        for name in _PROMPTS:
            if values.get(name):
                prompt = text_of(values[name]) or self.node.title
                break
        steps, width, height = IMAGE_NUMBERS.values()
        try:
            steps = int(values.get("steps") or steps)
            width, height = int(values.get("width") or width), int(values.get("height") or height)
            is_drawn = (
                min(steps, width, height) >= 1 and max(steps, width, height) <= MAX_IMAGE_NUMBER
            )
        except (ValueError, TypeError, OverflowError):
            is_drawn = False
        if not is_drawn:  # a 422 of Stable Diffusion
            if "prompt" in values:
                return None
            steps, width, height = IMAGE_NUMBERS.values()
        record = ImageRecord(
            prompt[:RECORD_CHARACTERS],
            text_of(values.get("model"))[:RECORD_CHARACTERS],
            self.random.getrandbits(32),
            width,
            height,
            steps,
            text_of(values.get("negative_prompt"))[:RECORD_CHARACTERS],
        )
        return FileRef(
            self.random.uuid(), record, wanted.type, wanted.extension, wanted.mime_type, wanted.url
        )

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


def _error_of(call: NodeCall) -> str | None:
    """The error with which this try ends, as the file or a scenario has it."""
    behaviour = call.node.behaviour
    if behaviour.fails is not None and call.attempt >= behaviour.fails:
        return None
    if behaviour.missing is not None:
        report = missing_report(call.node, call.spec)
        return (behaviour.error or report.text) if report.when == "node" else None
    if behaviour.error is None and behaviour.fault is not None:
        text = call.spec.nodes.faults.get(behaviour.fault)  # None: the version hides it
        return text and text.replace("{provider}", str(call.node.data.get("provider_id", "")))
    return behaviour.error


def refers_to_nothing(node: Node, _: HostSpec) -> bool:
    """Whether every run of the node is given the same."""
    return not any(selectors(node.data)) and "{{" not in str(node.behaviour)


def always(_: Node, __: HostSpec) -> bool:
    return True


class NodeKind(NamedTuple):
    """A type of nodes: ``check`` fails for data that ``run`` cannot use; ``seconds`` is the usual
    duration.

    ``fault`` names the host's error when what stands behind a node fails (``x-host.nodes.faults``);
    ``error_type`` is its class. A kind that ``reports_more_than_error`` also runs for an error of
    ``x-fake``. ``runs`` is False for a kind whose outputs only something real could make: they are
    placeholders of the declared types.

    ``passes_on`` says of a node whether what it is given appears in what it gives only as a part of
    texts, so that other texts change nothing else. Such runs can be compiled.
    """

    run: Callable[[NodeCall], NodeOutcome]
    check: Callable[[Field], None] = check_nothing
    seconds: float = 0.05
    fault: str = "node"
    error_type: str = ""
    reports_more_than_error: bool = False
    runs: bool = True
    passes_on: Callable[[Node, HostSpec], bool] = refers_to_nothing

    def outcome(self, call: NodeCall) -> NodeOutcome:
        """Run a node of this kind. A value that the host cannot handle is a failed outcome, never
        an exception.
        """
        behaviour = call.node.behaviour
        if not (behaviour.error is behaviour.fault is behaviour.missing is None):
            call.error = _error_of(call)
        if call.error is not None and not self.reports_more_than_error:
            outcome = NodeOutcome(call.seconds, error=call.error)
        else:
            try:
                outcome = self.run(call)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # data of a shape that no editor writes: the host's own check of it would fail too
                name = type(error).__name__
                outcome = NodeOutcome(call.seconds, error=str(error), error_type=name)
        if outcome.error is not None:
            named = behaviour.error_type or outcome.error_type or self.error_type
            outcome.error_type = named or "Exception"
            return outcome
        if behaviour.outputs:
            outcome.outputs = {**(outcome.outputs or {}), **fixed_outputs(call)}
        if call.steps is not None and outcome.outputs:
            for value in outcome.outputs.values():
                if type(value) is str:
                    call.steps.characters -= len(value)
            if call.steps.characters < 0:
                return NodeOutcome(call.seconds, error=TOO_LONG, error_type="ValueError")
        return outcome
