"""What a rule asks of a request: each condition by name, read from a file or a call, or from the
text of a header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fake_server.scenarios.errors import ScenarioError, unknown
from fake_server.scenarios.parameters import Bounds, Parameter


@dataclass(frozen=True, slots=True)
class Asked:
    """What rules look at in a request; what a body says is empty for a request that is no run."""

    operation: str
    headers: Mapping[bytes, bytes]
    prompt: str = ""
    model: str = ""
    user: str = ""
    mode: str = ""

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """What conditions on texts look at, by their names."""
        return (("prompt", self.prompt), ("model", self.model), ("user", self.user))


def asked_of(operation: str, headers: Mapping[bytes, bytes], body: Mapping[str, Any]) -> Asked:
    """A request by the operation it means, and its body as far as it can be read: nothing here
    refuses anything.
    """
    inputs = body.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    mode = str(body.get("response_mode", "blocking"))
    return Asked(
        operation,
        headers,
        prompt=str(inputs.get("prompt") or ""),
        model=str(inputs.get("model_name") or ""),
        user=str(body.get("user") or ""),
        mode=mode,
    )


@dataclass(frozen=True, slots=True)
class Text:
    """A text as a rule asks for it: exactly so, containing something, or matched by a regular
    expression.
    """

    said: Any
    exact: str | None = None
    contains: str | None = None
    pattern: re.Pattern[str] | None = None

    def holds(self, text: str) -> bool:
        if self.exact is not None:
            return text == self.exact
        if self.contains is not None:
            return self.contains in text
        return self.pattern is not None and self.pattern.search(text) is not None

    def covers(self, other: Text) -> bool:
        """Whether every text that satisfies ``other`` satisfies this, as far as can be told."""
        if other.exact is not None:
            return self.holds(other.exact)
        if self.contains is not None and other.contains is not None:
            return self.contains in other.contains
        return self.pattern is not None and self.pattern == other.pattern


def read_text_condition(value: object) -> Text:
    """Raises ``ScenarioError``."""
    if isinstance(value, str):
        return Text(value, exact=value)
    if not isinstance(value, dict):
        raise ScenarioError(
            f"a text, {{contains: text}} or {{matches: regex}} is needed, not {value!r}"
        )
    for key, text in value.items():
        if key not in ("contains", "matches"):
            raise ScenarioError(
                unknown("way to compare a text", key, ("contains", "matches")), (key,)
            )
        if not isinstance(text, str):
            raise ScenarioError(f"a text is needed, not {text!r}", (key,))
    if len(value) != 1:
        raise ScenarioError("either contains or matches is needed, and one alone")
    if "contains" in value:
        return Text(value, contains=value["contains"])
    try:
        return Text(value, pattern=re.compile(value["matches"]))
    except (re.error, OverflowError, RecursionError) as error:
        raise ScenarioError(f"this is no regular expression: {error}", ("matches",)) from None


_TEXTS: Mapping[str, Callable[[Asked], str]] = {
    "prompt": lambda asked: asked.prompt,
    "model": lambda asked: asked.model,
    "user": lambda asked: asked.user,
}
_MODE = Parameter("mode", str, None, choices=("blocking", "streaming"))
_COUNTED = {
    "call": Parameter("call", int, None, Bounds(1)),
    "probability": Parameter("probability", float, None, Bounds(0, 1)),
    "seed": Parameter("seed", int, None),
}
TIMES = Parameter("times", int, None, Bounds(1))
NAMES = ("operation", *_TEXTS, "mode", "header", *_COUNTED)


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that a rule asks of a request; None is what it does not ask.

    ``call`` is the how-manieth of the requests that satisfy the others, from 1; ``probability``
    with ``seed`` decides over each of them.
    """

    operation: str | None = None
    mode: str | None = None
    texts: tuple[tuple[str, Text], ...] = ()
    headers: tuple[tuple[bytes, Text], ...] = ()
    call: int | None = None
    probability: float | None = None
    seed: int | None = None

    def hold(self, asked: Asked) -> bool:
        """Whether the request is of the kind that is asked for, whatever its number."""
        if self.operation is not None and self.operation != asked.operation:
            return False
        if self.mode is not None and self.mode != asked.mode:
            return False
        for name, text in self.texts:  # a loop is quickest, and every request meets every rule
            if not text.holds(_TEXTS[name](asked)):
                return False
        return not self.headers or all(
            text.holds(asked.headers.get(name, b"").decode("latin-1"))
            for name, text in self.headers
        )

    @property
    def always(self) -> bool:
        """Whether every request of that kind is taken."""
        return self.call is None and self.probability is None

    @property
    def exact(self) -> list[tuple[str, str]]:
        """The texts that have to be exactly so. What covers these conditions has none but some of
        them.
        """
        return [(name, text.exact) for name, text in self.texts if text.exact is not None]

    def cover(self, other: Conditions) -> bool:
        """Whether every request of the kind that ``other`` asks for is of this kind too, as far as
        can be told.
        """
        texts, headers = dict(other.texts), dict(other.headers)
        return (
            self.operation in (None, other.operation)
            and self.mode in (None, other.mode)
            and all(name in texts and text.covers(texts[name]) for name, text in self.texts)
            and all(name in headers and text.covers(headers[name]) for name, text in self.headers)
        )


def read_conditions(said: Mapping[str, object], operations: tuple[str, ...]) -> Conditions:
    """The conditions under ``when``; ``operations`` are those there are. Raises
    ``ScenarioError``.
    """
    for name in said:
        if name not in NAMES:
            raise ScenarioError(unknown("condition", name, NAMES), (name,))
    operation = Parameter("operation", str, None, choices=operations)
    return Conditions(
        operation=operation.read(said["operation"]) if "operation" in said else None,
        mode=_MODE.read(said["mode"]) if "mode" in said else None,
        texts=tuple((name, _text(said[name], name)) for name in _TEXTS if name in said),
        headers=tuple(_headers(said.get("header", {}))),
        **{name: one.read(said[name]) for name, one in _COUNTED.items() if name in said},
    )


def _headers(said: object) -> list[tuple[bytes, Text]]:
    if not isinstance(said, dict):
        raise ScenarioError(f"a mapping of names to texts is needed, not {said!r}", ("header",))
    return [
        (str(name).lower().encode("latin-1", "replace"), _text(text, "header", name))
        for name, text in said.items()
    ]


def _text(value: object, *place: str) -> Text:
    try:
        return read_text_condition(value)
    except ScenarioError as error:
        raise error.within(*place) from None


IN_HEADERS = {"times": TIMES, **_COUNTED}
"""What a scenario in a header can ask for: a header is the request's own, and knows it already."""


def schema(operations: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of ``when``."""
    compared = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    ways = {"contains": {"type": "string"}, "matches": {"type": "string", "format": "regex"}}
    text = {"anyOf": [{"type": "string"}, {**compared, "properties": ways}]}
    counted = {name: one.schema for name, one in _COUNTED.items()}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "operation": {"enum": list(operations)},
            **dict.fromkeys(_TEXTS, text),
            "mode": _MODE.schema,
            "header": {"type": "object", "additionalProperties": text},
            **counted,
        },
    }
