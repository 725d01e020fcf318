"""Values of a run by their selectors, the texts that refer to them, and how they are compared.

A reference ``{{#node.output#}}`` becomes its value. Dify 0.6 fills in strings alone (FACTS 12.7 and
12.9): it strips one pair of braces off whatever looks like a reference in a value, and then takes
``<|…|>`` out of the whole. A prompt of a model knows more references there than a parameter of a
tool: ``{{name}}``, ``{{#context#}}``, ``{{#query#}}``, ``{{#histories#}}``. Later versions fill in
values of every type by ``convert``. Whatever the host cannot evaluate raises ``ValueError`` with
its text, which becomes the error of the node; what a comparison cannot compare raises that or a
``TypeError``.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fake_server.runs.values import FileRef, InputFile

if TYPE_CHECKING:
    from fake_server.workflow.model import Selector

Pool = dict[str, Mapping[str, Any]]
"""The outputs of the nodes that have run, by node id."""

_NODE = re.compile(r"\{\{(#\w{1,50}(?:\.[A-Za-z_]\w{0,29}){1,10}#)\}\}", re.ASCII)
_PROMPT = re.compile(
    r"\{\{([A-Za-z_]\w{0,29}|#\w{1,50}\.[\w.]{1,100}#|#(?:histories|query|context)#)\}\}", re.ASCII
)
_SPECIAL_TOKEN = re.compile(r"<\|.*?\|>|(<\|.*)")
"""Or the rest of a line without an end of one, which stays: it is searched once only."""

NOT_A_STRING = "expected string or bytes-like object"
"""The text of Python's ``re`` on the host for a reference to anything but a string."""


MAX_TEXT = 16_000_000
"""The most characters of a text that is filled in: a graph can double one at each node."""

TOO_LONG = f"the fake makes texts of at most {MAX_TEXT} characters"

MAX_INTEGER = 10**4000
"""Python writes out numbers of up to 4,300 digits; a loop can square one at each turn."""

TOO_LARGE = "the fake makes integers of at most 4000 digits"

MAX_RUN_STEPS = 1_000_000
"""The work of all templates of one run."""

MAX_RUN_TEXT = 100_000_000
"""The most characters in the outputs of the nodes of one run."""

ABSENT = object()
"""What ``find`` returns for a selector that leads nowhere; null is a value."""


@dataclass(slots=True)
class RunSteps:
    """What is left of the work that the templates of one run may do, and of the ``characters``
    that all of its nodes may make.
    """

    left: int = MAX_RUN_STEPS
    characters: int = MAX_RUN_TEXT


def find(pool: Pool, selector: Sequence[str]) -> Any:
    """The value at ``selector``, which may go into an object or name an attribute of a file."""
    value: Any = pool
    for key in selector:
        if type(value) is not dict:  # nearly always it is one, and the other questions take time
            if isinstance(value, FileRef | InputFile):
                value = file_attributes(value)
            elif not isinstance(value, Mapping):
                return ABSENT
        value = value.get(key, ABSENT) if isinstance(key, str) else ABSENT
    return value


def read(pool: Pool, selector: Sequence[str]) -> Any:
    """The value at ``selector``; None where there is none."""
    value = find(pool, selector)
    return None if value is ABSENT else value


def file_attributes(file: FileRef | InputFile) -> Mapping[str, Any]:
    """What conditions, templates and lists know of a file; its URL is signed when it is shown."""
    if isinstance(file, FileRef):
        name: str | None = f"{file.file_id}{file.extension}"
        size, method, url = -1, "tool_file", file.remote_url
    else:
        name, method, url = file.filename, file.transfer_method, file.url
        size = -1 if file.size is None else file.size
    return {
        "type": file.type,
        "name": name,
        "filename": name,
        "extension": file.extension,
        "mime_type": file.mime_type,
        "size": size,
        "transfer_method": method,
        "related_id": file.file_id,
        "url": url or "",
    }


def text_of(value: Any) -> str:
    """``value`` inside a text, as hosts from 0.15 on write it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, FileRef | InputFile):
        return ""
    if isinstance(value, Mapping):
        check_size(value)
        return json.dumps(plain(value), ensure_ascii=False)
    if isinstance(value, list):
        check_size(value)
        if not value or isinstance(value[0], FileRef | InputFile):
            return ""
        if all(isinstance(one, str) for one in value):
            return json.dumps(value, ensure_ascii=False)
    return str(plain(value))


def check_size(value: Any) -> None:
    """Raises ``ValueError`` for a value that is too large as a text."""
    size, pending = 0, [value]
    while pending:
        one = pending.pop()
        if isinstance(one, int) and abs(one) >= MAX_INTEGER:
            raise ValueError(TOO_LARGE)
        size += len(one) if isinstance(one, str) else 16  # as much memory as a value takes
        if isinstance(one, Mapping):
            pending += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            pending += one
        if size + len(pending) > MAX_TEXT:
            raise ValueError(TOO_LONG)


def plain(value: Any) -> Any:
    """``value`` with the attributes of files in their place."""
    if isinstance(value, FileRef | InputFile):
        return dict(file_attributes(value))
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def convert(text: str, pool: Pool) -> str:
    """``text`` with its references filled in as hosts from 0.15 on do; of a reference to nothing
    they leave what stands between the ``#``.
    """
    if "{{#" not in text:
        return text
    parts = _NODE.split(text)
    for index in range(1, len(parts), 2):
        key = parts[index].strip("#")
        value = find(pool, key.split("."))
        parts[index] = key if value is ABSENT else text_of(value)
    return _joined(parts)


@lru_cache(maxsize=4096)
def references(text: str) -> tuple[tuple[str, Selector], ...]:
    """The references to nodes in ``text``: ``#node.output#`` with its selector."""
    return tuple((key, tuple(key.strip("#").split("."))) for key in _NODE.findall(text))


def selectors(value: Any) -> Iterator[Sequence[str]]:
    """Every selector below ``value``, in lists and in texts."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield from (selector for _, selector in references(one)) if "{{#" in one else ()
        elif isinstance(one, Mapping):
            pending += one.values()
        elif isinstance(one, list):
            if len(one) > 1 and all(isinstance(part, str) for part in one[:2]):
                yield one
            pending += one


def is_replaced(reference: str) -> bool:
    """Whether the host takes ``reference`` for one: of ASCII, with names that are not too long."""
    return bool(_NODE.fullmatch(reference) or _PROMPT.fullmatch(reference))


def fill_parameter(text: str, pool: Pool) -> str:
    """A parameter of a tool, filled."""
    return _fill(text, _NODE, {key: read(pool, one) for key, one in references(text)})


def prompt_values(prompts: Iterable[Mapping[str, str]], pool: Pool) -> dict[str, Any]:
    """The values of the references in the prompts of a model, each of which must have one."""
    values: dict[str, Any] = {}
    for prompt in prompts:
        for key, selector in references(prompt["text"]):
            values[key] = read(pool, selector)
            if values[key] is None:
                raise ValueError(f"Variable {key} not found")
    return values


def fill_prompt(text: str, values: Mapping[str, Any]) -> str:
    """A prompt of a model, filled; a reference without a value stays."""
    return _fill(text, _PROMPT, values)


def fill_fake(text: str, pool: Pool) -> str:
    """A template of ``x-fake``, filled; a reference without a value becomes nothing."""
    values = {key: text_of(read(pool, selector)) for key, selector in references(text)}
    return _fill(text, _NODE, values, _PROMPT)


def _fill(
    text: str,
    pattern: re.Pattern[str],
    values: Mapping[str, Any],
    stripped: re.Pattern[str] | None = None,
) -> str:
    if "{{" not in text and "<|" not in text:
        return text
    parts = list(_split(pattern, text))
    for index in range(1, len(parts), 2):
        key = parts[index]
        value = values.get(key, f"{{{{{key}}}}}")
        if not isinstance(value, str):
            raise ValueError(NOT_A_STRING)
        parts[index] = (stripped or pattern).sub(r"{\1}", value) if "{{" in value else value
    filled = _joined(parts)
    return _SPECIAL_TOKEN.sub(r"\1", filled) if "<|" in filled else filled


def _joined(parts: Sequence[str]) -> str:
    if sum(map(len, parts)) > MAX_TEXT:
        raise ValueError(TOO_LONG)
    return "".join(parts)


@lru_cache(maxsize=4096)
def _split(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """The parts of ``text``, every second one the key of a reference."""
    return tuple(pattern.split(text))


# Comparisons

Comparison = Callable[[Any, Any], bool]


def _contains(actual: Any, expected: str) -> bool:
    if not actual:
        return False
    if not isinstance(actual, str | list):
        raise ValueError("Invalid actual value type: string or array")
    return expected in actual


def _on_string(holds: Comparison, when_empty: bool = False) -> Comparison:
    def compare(actual: Any, expected: Any) -> bool:
        if actual is None or (actual == "" and not when_empty):
            return False
        if when_empty and isinstance(actual, bool):
            return holds(actual, str(expected).lower() in ("true", "1"))
        if not isinstance(actual, str):
            raise ValueError("Invalid actual value type: string")
        return holds(actual, expected)

    return compare


def _on_number(holds: Callable[[Any, Any], bool]) -> Comparison:
    def compare(actual: Any, expected: Any) -> bool:
        if actual is None:
            return False
        if not isinstance(actual, int | float):
            raise ValueError("Invalid actual value type: number")
        return holds(actual, type(actual)(expected))

    return compare


def _is_in(actual: Any, expected: Any) -> bool:
    if not isinstance(expected, list):
        raise ValueError("Invalid expected value type: array")
    return actual in expected


OPERATORS: dict[str, Comparison] = {
    "contains": _contains,
    "not contains": lambda actual, expected: not _contains(actual, expected),
    "start with": _on_string(str.startswith),
    "end with": _on_string(str.endswith),
    "is": _on_string(operator.eq, when_empty=True),
    "is not": _on_string(operator.ne, when_empty=True),
    "empty": lambda actual, _: not actual,
    "not empty": lambda actual, _: bool(actual),
    "=": _on_number(operator.eq),
    "≠": _on_number(operator.ne),
    ">": _on_number(operator.gt),
    "<": _on_number(operator.lt),
    "≥": _on_number(operator.ge),
    "≤": _on_number(operator.le),
    "null": lambda actual, _: actual is None,
    "not null": lambda actual, _: actual is not None,
    "in": lambda actual, expected: bool(actual) and _is_in(actual, expected),
    "not in": lambda actual, expected: not actual or not _is_in(actual, expected),
    "all of": lambda actual, expected: bool(actual) and all(one in actual for one in expected),
    "exists": lambda actual, _: actual is not None,
    "not exists": lambda actual, _: actual is None,
}
"""The comparisons of an if-else node by their names in an export."""
