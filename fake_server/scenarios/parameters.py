"""The parameters of a behaviour: named, typed, with a default; and how a header gives them.

They are those of its function; their annotations are the kinds below, ``bool``, ``str`` and
``Literal``. A header, a file and a call give the same parameters.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from dify_wire.strict import TOP_LEVEL, Field, bounds


class ScenarioError(ValueError):
    """A rule that cannot be used: ``path`` leads to the wrong part, ``message`` has the correction.

    The path looks like ``scenarios[1].with.seconds``.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


def rule_field(value: object, path: str = "") -> Field:
    """A reader of (a part of) a rule that raises ``ScenarioError``."""

    def error(path: str, message: str) -> ScenarioError:
        return ScenarioError(message, "" if path == TOP_LEVEL else path)

    return Field(value, path, error=error)


class Bounds(NamedTuple):
    least: float
    most: float = float("inf")


Seconds = Annotated[float, Bounds(0, 1e9)]
"""Seconds of the run's own timeline."""

Index = Annotated[int, Bounds(0, 1_000_000)]
"""A number of things, none allowed."""

Count = Annotated[int, Bounds(1, 1_000_000)]
"""A number of things, at least one."""

Status = Annotated[int, Bounds(200, 599)]
"""An HTTP status."""

_NO_BOUNDS = Bounds(float("-inf"))
_KINDS = {
    str: ("string", "a string"),
    bool: ("boolean", "true or false"),
    int: ("integer", "a whole number"),
    float: ("number", "a number"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. ``choices`` are all strings that it accepts, None where any will do."""

    name: str
    kind: type
    default: Any = None
    bounds: Bounds = _NO_BOUNDS
    choices: tuple[str, ...] | None = None

    def read(self, field: Field) -> Any:
        """The value in a file or a call. Raises ``ScenarioError``."""
        if self.choices is not None:
            return field.choice(self.choices, f"value of {self.name}")
        if self.kind is bool:
            return field.boolean()
        if self.kind is int:
            return field.whole(self.bounds.least, self.bounds.most)
        if self.kind is float:
            return float(field.number(self.bounds.least, self.bounds.most))
        if not _is_unicode(field.text()):
            field.fail("expected a string, not half of a surrogate pair")
        return field.value

    def read_text(self, text: str) -> Any:
        """The value of a header. Raises ``ScenarioError``."""
        value: object = text
        if self.kind is bool:
            value = {"true": True, "false": False}.get(text, text)
        elif self.kind is not str:
            with contextlib.suppress(ValueError):  # the error shows the string
                value = self.kind(text)
        return self.read(rule_field(value, self.name))

    @property
    def expected(self) -> str:
        """What the parameter accepts, in words."""
        if self.choices is not None:
            return " or ".join(self.choices)
        return _KINDS[self.kind][1] + bounds(self.bounds.least, self.bounds.most)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of its value."""
        limits = {
            "enum": None if self.choices is None else list(self.choices),
            "minimum": None if self.bounds.least == float("-inf") else self.bounds.least,
            "maximum": None if self.bounds.most == float("inf") else self.bounds.most,
            "default": self.default,
        }
        given = {key: value for key, value in limits.items() if value is not None}
        return {"type": _KINDS[self.kind][0], **given}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parameters_of(function: Callable[..., Any]) -> Mapping[str, Parameter]:
    """The parameters that ``function`` declares, by name."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        name: _parameter(name, hints[name], declared.default)
        for name, declared in inspect.signature(function).parameters.items()
    }


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    if get_origin(hint) is not Literal and type(None) in get_args(hint):
        hint = get_args(hint)[0]  # ``X | None``: None stands for a parameter that is not given
    if get_origin(hint) is Literal:
        return Parameter(name, str, default, choices=get_args(hint))
    if get_origin(hint) is Annotated:
        kind, limits = get_args(hint)
        return Parameter(name, kind, default, limits)
    return Parameter(name, hint, default)


_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,;="]*))\s*')
_MAX_LENGTH = 2_000


Pairs = list[tuple[str, str]]


def parse_header(value: bytes) -> list[tuple[str, Pairs]]:
    """The name of each scenario and its pairs, as written. Raises ``ScenarioError``."""
    if len(value) > _MAX_LENGTH:
        raise ScenarioError(
            f"the header is longer than {_MAX_LENGTH} characters; use --scenarios for so much"
        )
    return list(_scenarios(value.decode("utf-8", "replace")))


def _scenarios(text: str) -> Iterator[tuple[str, Pairs]]:
    position = 0
    while True:
        name, position = _word(text, position)
        if not name:
            raise ScenarioError(f"the name of a scenario is missing {_at(text, position)}")
        pairs = []
        while text[position : position + 1] == ";":
            key, position = _word(text, position + 1)
            if text[position : position + 1] != "=":
                raise ScenarioError(
                    f"a parameter is written key=value; there is no = {_at(text, position)}"
                )
            value, position = _word(text, position + 1)
            pairs.append((key, value))
        yield name, pairs
        if position == len(text):
            return
        if text[position] != ",":
            raise ScenarioError(
                f"a comma, a semicolon or the end is expected {_at(text, position)}"
            )
        position += 1


def _word(text: str, position: int) -> tuple[str, int]:
    match = _TOKEN.match(text, position)
    assert match is not None  # it matches the empty string, too
    quoted, plain = match.groups()
    word = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip()
    return word, match.end()


def _at(text: str, position: int) -> str:
    return f"at character {position + 1} of {text!r}"
