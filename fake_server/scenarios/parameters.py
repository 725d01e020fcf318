"""What a behaviour can be told: named, typed, with a default; the same whether a header, a file or
a call says it.

The parameters of a behaviour are those of its function; their annotations are the kinds below, or
``bool``, ``str`` and ``Literal``.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from fake_server.scenarios.errors import ScenarioError, unknown


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest that a number may be."""

    least: float
    greatest: float = float("inf")

    def __str__(self) -> str:
        upper = f" to {self.greatest:.15g}" if self.greatest != float("inf") else " or more"
        return f"{self.least:.15g}{upper}"


Seconds = Annotated[float, Bounds(0, 1e9)]
"""Seconds of the run's own timeline."""

Index = Annotated[int, Bounds(0, 1_000_000)]
"""So many of something, none allowed."""

Count = Annotated[int, Bounds(1, 1_000_000)]
"""So many of something, at least one."""

Status = Annotated[int, Bounds(200, 599)]
"""An HTTP status."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. ``choices`` are all texts that it can be, None where any will do."""

    name: str
    kind: type
    default: Any
    bounds: Bounds | None = None
    choices: tuple[str, ...] | None = None

    def read(self, value: object) -> Any:
        """``value`` of a file or a call as the behaviour takes it. Raises ``ScenarioError``."""
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < _EXACT else math.inf
        elif (
            self.kind is int and value == math.inf
        ):  # how a file's reader gives what is beyond any float
            value = _EXACT
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            raise ScenarioError(f"{self.needed} is needed, not {value!r}", (self.name,))
        if isinstance(value, str) and not _is_unicode(value):
            raise ScenarioError(
                f"{self.needed} is needed, not {value!r}: a half of a surrogate pair", (self.name,)
            )
        if self.choices is not None and value not in self.choices:
            raise ScenarioError(
                unknown(f"value of {self.name}", str(value), self.choices), (self.name,)
            )
        if self.bounds and not self.bounds.least <= value <= self.bounds.greatest:  # type: ignore[operator]
            raise ScenarioError(f"{self.needed} is needed, not {value!r}", (self.name,))
        return value

    def read_text(self, text: str) -> Any:
        """``text`` of a header as the behaviour takes it. Raises ``ScenarioError``."""
        if self.kind is str:
            return self.read(text)
        if self.kind is bool:
            return self.read({"true": True, "false": False}.get(text, text))
        try:
            return self.read(self.kind(text))
        except ValueError as error:
            if isinstance(error, ScenarioError):
                raise
            raise ScenarioError(f"{self.needed} is needed, not {text!r}", (self.name,)) from None

    @property
    def needed(self) -> str:
        """What the parameter takes, in words."""
        if self.choices is not None:
            return " or ".join(self.choices)
        name = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}[
            self.kind
        ]
        return f"{name}, {self.bounds}," if self.bounds else name

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of its value."""
        types = {str: "string", bool: "boolean", int: "integer", float: "number"}
        schema: dict[str, Any] = {"type": types[self.kind]}
        if self.choices is not None:
            schema["enum"] = list(self.choices)
        if self.bounds:
            schema["minimum"] = self.bounds.least
            if self.bounds.greatest != float("inf"):
                schema["maximum"] = self.bounds.greatest
        return schema if self.default is None else {**schema, "default": self.default}


_EXACT = 1 << 53
"""Whole numbers below it are floats too, and no parameter goes beyond it."""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters that ``function`` declares."""
    hints = typing.get_type_hints(function, include_extras=True)
    return tuple(
        _parameter(one, hints[one.name]) for one in inspect.signature(function).parameters.values()
    )


def _parameter(declared: inspect.Parameter, hint: Any) -> Parameter:
    hint = _without_none(hint)
    if get_origin(hint) is Literal:
        return Parameter(declared.name, str, declared.default, choices=get_args(hint))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        return Parameter(declared.name, kind, declared.default, bounds)
    return Parameter(declared.name, hint, declared.default)


def _without_none(hint: Any) -> Any:
    """``X`` of ``X | None``: None is what is not said."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(hint) and get_origin(hint) is not Literal else hint
