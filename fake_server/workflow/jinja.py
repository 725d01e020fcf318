"""Jinja2 templates of an export, rendered within bounds.

A template comes from a file that nobody here wrote, so it reaches nothing but its own values
(Jinja2's sandbox), and every step and every text that it makes is counted: whatever it does ends
soon and stays small. Pure: the same template with the same values gives the same text.

The first template that runs imports this module, and with it Jinja2; the start does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from fake_server.workflow.expressions import RunSteps

MAX_STEPS = 300_000
"""The work of one rendering: a value or 16 characters of a text each, a turn of a loop ten."""

MAX_TEXT = 400_000
"""The most characters that a template, one of its values or its output has."""

_MAX_BITS = 4096
_WIDTH = re.compile(r"\d{5,}|\*")
"""A width in a format string that makes a text of more than 9999 characters."""

_WIDENING = {
    *("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap"),
    *("batch", "slice", "truncate", "round"),
}
"""What makes a text as long as a number that it is given."""

_WIDENING_LINES = {"indent", "expandtabs"}
"""What does so for each line or tab of a text."""

_MAX_INDENT = 100

_LEFT_OUT = frozenset({"urlize", "pprint", "random", "lipsum"})
"""Filters and functions that are slow, or that give another text each time."""


class TemplateError(ValueError):
    """A template that cannot be rendered; the text is the error of its node."""


class _Bounds:
    """What is left of the work that one rendering may do."""

    def __init__(self, source: str, steps: int) -> None:
        self.left = steps
        self._turn = 10 + len(source) // 50  # a turn may put out all of the template

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TemplateError("the template does more than the fake runs: it has too many steps")

    def turn(self) -> None:
        self.spend(self._turn)

    def text(self, value: Any) -> int:
        """The size of ``value``, spent; raises ``TemplateError`` for one that is too large."""
        size, characters, pending = 0, 0, [value]
        while pending:
            one = pending.pop()
            size += 1
            if isinstance(one, str | bytes):
                characters += len(one)
            elif isinstance(one, int) and one.bit_length() > _MAX_BITS:
                raise TemplateError("the template makes a number with too many digits")
            elif isinstance(one, Mapping):
                pending += [*one.keys(), *one.values()]
            elif isinstance(one, list | tuple | set | frozenset):
                pending += one
            elif type(one).__name__ == "Namespace":
                pending.append(getattr(one, "_Namespace__attrs", None))
            if size + characters + len(pending) > MAX_TEXT:
                raise TemplateError(f"Output length exceeds {MAX_TEXT} characters")
        self.spend(size + characters // 16)
        return size + characters


_bounds: ContextVar[_Bounds] = ContextVar("_bounds")


def render(source: str, values: Mapping[str, Any], run: RunSteps | None = None) -> str:
    """The text of the template ``source``, as one of those of a ``run``. Raises ``TemplateError``,
    whatever goes wrong.
    """
    if len(source) > MAX_TEXT:
        raise TemplateError(f"a template has at most {MAX_TEXT} characters")
    most = MAX_STEPS if run is None else min(MAX_STEPS, run.left)
    bounds = _Bounds(source, most)
    token = _bounds.set(bounds)
    parts, length = [], 0
    try:
        for part in _compiled(source).generate(dict(values)):
            parts.append(part)
            length += len(part)
            if length > MAX_TEXT:
                raise TemplateError(f"Output length exceeds {MAX_TEXT} characters")
    except TemplateError:
        raise
    except RecursionError:
        raise TemplateError("the template calls itself too deeply") from None
    except Exception as error:  # a template can raise whatever its expressions raise
        raise TemplateError(str(error) or type(error).__name__) from None
    finally:
        _bounds.reset(token)
        if run is not None:
            run.left -= most - bounds.left
    return "".join(parts)


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    environment = _Sandbox(optimized=False, finalize=_finalize)
    for name in _LEFT_OUT:
        environment.filters.pop(name, None)
        environment.globals.pop(name, None)
    environment.filters = {name: _counted(name, one) for name, one in environment.filters.items()}
    environment.filters |= {"__turns": _turns, "__sized": _sized}
    environment.filters["__joined"] = lambda parts: "".join(_sized([*map(str, parts)]))
    environment.globals["range"] = _range
    environment.policies["json.dumps_function"] = _json_text
    return environment


def _guarded(node: Any, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Guards(NodeTransformer):
    """Puts a filter that counts around whatever repeats, joins, collects or compares."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        self.generic_visit(node)
        match node:
            case nodes.For():
                node.iter = _guarded(node.iter, "__turns")
            case nodes.Compare():
                node.expr = _guarded(node.expr, "__sized")
            case nodes.Test(node=nodes.Expr() as tested) if "defined" not in node.name:
                node.node = _guarded(tested, "__sized")
            case nodes.Concat():
                return _guarded(nodes.List(node.nodes, lineno=node.lineno), "__joined")
            case nodes.Dict() | nodes.List():
                return _guarded(node, "__sized")
            case nodes.Tuple(ctx="load") | nodes.Getitem(ctx="load"):
                return _guarded(node, "__sized")
        return node


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "**", "%", "//", "/"})

    def _parse(self, source: str, name: Any, filename: Any) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _Guards().visit(template)
        return template

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_operation(operator, left, right)
        result = super().call_binop(context, operator, left, right)
        _bounds.get().text(result)
        return result

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        bounds = _bounds.get()
        bounds.turn()
        method = getattr(function, "__wrapped__", function)  # as str.format of a sandbox is
        owner = getattr(method, "__self__", None)
        texts = (owner,) if isinstance(owner, str | list | tuple | dict) else ()
        _check_call(getattr(method, "__name__", ""), (*texts, *args, *kwargs.values()))
        result = super().call(context, function, *args, **kwargs)
        bounds.text(result)
        return result


@pass_context  # which keeps Jinja2 from working out constants when it compiles
def _finalize(context: Any, value: Any) -> Any:
    return _sized(value)


def _turns(values: Any) -> Iterator[Any]:
    bounds = _bounds.get()
    for value in values:
        bounds.turn()
        yield value


def _sized(value: Any) -> Any:
    _bounds.get().text(value)
    return value


def _json_text(value: Any, *, indent: Any = None, **options: Any) -> str:
    if indent is not None and not (isinstance(indent, int) and indent <= _MAX_INDENT):
        raise TemplateError(f"tojson indents by at most {_MAX_INDENT} here")
    pieces, size = [], 0
    for piece in json.JSONEncoder(indent=indent, **options).iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_TEXT:
            raise TemplateError(f"Output length exceeds {MAX_TEXT} characters")
    return "".join(pieces)


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers[: MAX_TEXT + 1]) > MAX_TEXT:
        raise TemplateError(f"a range has at most {MAX_TEXT} numbers here")
    _bounds.get().spend(len(numbers) // 16)
    return numbers


def _counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter ``function``, its values and its result counted."""

    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _check_call(name, (*args, *kwargs.values()))
        result = function(*args, **kwargs)
        _bounds.get().text(result)
        return result

    return counted


def _check_call(name: str, values: tuple[Any, ...]) -> None:
    """Raises ``TemplateError`` where the result could be far larger than ``values`` are."""
    bounds = _bounds.get()
    sizes = sorted(
        bounds.text(value)
        for value in values  # context and environment are what Jinja2 itself gives to a filter
        if not type(value).__module__.startswith(("jinja2.", __name__))
    )
    numbers = [value for value in values if isinstance(value, int)]
    if name in _WIDENING and any(abs(number) > MAX_TEXT for number in numbers):
        raise TemplateError(f"{name} makes a text of more than {MAX_TEXT} characters")
    widths = [abs(number) for number in numbers] if name in _WIDENING_LINES else []
    _check_product(*[1, *sorted([*sizes, *widths])][-2:])
    if name == "sum":  # it copies a list for each that it adds
        bounds.spend(sum(sizes) * len(values[1:]) * sum(sizes) // MAX_STEPS)
    if name in ("format", "format_map") and isinstance(values[0], str):
        _check_format(values[0])


def _check_product(size: int, other: int = 1) -> None:
    """A text of ``size`` may take in another one at each of its characters."""
    if size * other > 100 * MAX_TEXT:
        raise TemplateError("the template joins texts that are too long for the fake")


def _check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str | bytes):
        _check_format(str(left))
        _check_product(_bounds.get().text(left), _bounds.get().text(right))
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            repeats = hasattr(many, "__len__") and isinstance(times, int)
            if repeats and _bounds.get().text(many) * times > MAX_TEXT:
                raise TemplateError(f"Output length exceeds {MAX_TEXT} characters")
    is_power = operator == "**" and isinstance(left, int) and isinstance(right, int)
    if is_power and left.bit_length() * max(right, 0) > _MAX_BITS:
        raise TemplateError("the template makes a number with too many digits")


def _check_format(text: str) -> None:
    if _WIDTH.search(text) or re.search(r"\{[^{}]*\{", text):
        raise TemplateError("a format string of a template has too large a width")
