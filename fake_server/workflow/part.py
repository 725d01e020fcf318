"""A value inside a file together with the way to it, so that whatever is wrong with it can be said
precisely.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dify_wire.spec import SpecError
from dify_wire.strict import did_you_mean

T = TypeVar("T")
_NAMES = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class WorkflowError(SpecError):
    """A workflow file that cannot be used: names the file, the place in it and the mend."""


@dataclass(frozen=True, slots=True)
class Part:
    """``value`` as it stands at ``place`` of ``file``."""

    file: Path
    place: str
    value: Any

    def wrong(self, message: str) -> NoReturn:
        """Raise the ``WorkflowError`` that says ``message`` of this place."""
        raise WorkflowError(self.file, self.place or "the top level", message)

    def as_a(self, kind: type[T]) -> T:
        """The value if it is a ``kind`` (a whole number is a number; true is no number); raises
        ``WorkflowError``.
        """
        accepted = (int, float) if kind is float else kind
        if not isinstance(self.value, accepted) or (
            isinstance(self.value, bool) and kind is not bool
        ):
            self.wrong(f"{_NAMES[kind]} is needed here, not {_described(self.value)}")
        return self.value  # type: ignore[return-value]  # the check above is the proof

    def one_of(self, known: Collection[str]) -> str:
        """The value if it is one of ``known``; otherwise the error names the nearest."""
        text = self.as_a(str)
        if text not in known:
            self.wrong(
                f"{text!r} is not known here{did_you_mean(text, known)}; known: {', '.join(sorted(known))}"
            )
        return text

    def child(self, key: str) -> Part:
        """The value under ``key``, which must be there."""
        part = self.get(key)
        if part is None:
            self.wrong(f"the key {key!r} is missing here; add it")
        return part

    def get(self, key: str) -> Part | None:
        """The value under ``key``; None where the key is absent or null."""
        value = self.as_a(dict).get(key)
        return (
            None
            if value is None
            else Part(self.file, f"{self.place}.{key}" if self.place else key, value)
        )

    def items(self) -> Iterator[Part]:
        """The entries of a list."""
        for index, value in enumerate(self.as_a(list)):
            yield Part(self.file, f"{self.place}[{index}]", value)

    def only(self, known: Collection[str]) -> None:
        """Refuse any key that is not one of ``known``."""
        for key in self.as_a(dict):
            if key not in known:
                self.wrong(
                    f"the key {key!r} is not known here{did_you_mean(str(key), known)}; known: {', '.join(known)}"
                )


def _described(value: Any) -> str:
    if isinstance(value, dict | list):
        return _NAMES[type(value)]
    return f"{value!r}"
