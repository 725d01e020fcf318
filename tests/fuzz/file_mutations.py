"""Files of users, mutated: in their structure, their text, their bytes. The ``Random`` decides all
of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from dify_wire.overlay import copied
from dify_wire.yaml_file import dump_yaml

Container = dict[str, Any] | list[Any]
Slot = tuple[Container, Any]
"""A place in a document: a container and one of its keys or indexes."""


def _nested(depth: int) -> Any:
    value: Any = {}
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


ODD_VALUES: tuple[Callable[[], Any], ...] = (
    *(
        lambda value=value: value
        for value in (
            None, True, False, 0, 1, -1, 0.5, "", " ", "x", "é", "\ud83e", "\0", "\x1b[31m",
        )
    ),
    *(
        lambda value=value: value
        for value in (1e300, -1e300, 1e-300, float("inf"), float("nan"), 2**63, 10**400)
    ),
    *(
        lambda value=value: value
        for value in ("a\r\nb: c", "€", "{", "{0}", "{{#a.b#}}", "[", "(" * 200, "..", "/" * 50)
    ),
    *(
        lambda value=value: value
        for value in ("#/", "$ref", "#/components/schemas/RunRequest", "$..*", "2024-01-01")
    ),
    lambda: "x" * 100_000,
    lambda: list(range(3_000)),
    lambda: [{}] * 3_000,
    lambda: {f"k{n}": n for n in range(3_000)},
    lambda: _nested(150),
    lambda: _nested(300),
    lambda: {"$ref": "#/components/schemas/RunRequest"},
    lambda: {"allOf": [{"$ref": "#/components/schemas/RunRequest"}] * 2},
    list,
    dict,
)  # fmt: skip

TOKENS = (
    "!!int ", "!!int '' ", "!!bool x ", "!!binary ", "!!python/object:os.system ", "!!set ", "!x ",
    "&a ", "*a ", "<<: *a\n", "0x" + "F" * 5_000, "9" * 5_000, "1:" * 5_000 + "1.5", "1e999",
    ".inf", "-.inf", ".nan", "0b1", "0o7", "~", "=", "<<", "[" * 3_000, "{a: " * 3_000,
    "- " * 3_000, "]", "}", "'", '"', "|\n", ">\n", "---\n", "...\n", "%YAML 9.9\n", "\t", "\r",
    "\0", "\x1b[2J", "\ufeff", "\u2028", "\ud7ff", "#", ": ", ",", "\n", "\\ud83e", "\\u0000", "e",
    "-", "1979-05-27T07:32:00Z",
)  # fmt: skip


KEYWORDS = (
    *(
        "type",
        "enum",
        "default",
        "const",
        "required",
        "properties",
        "allOf",
        "oneOf",
        "items",
        "minLength",
        "maxLength",
    ),
    *(
        "$ref",
        "discriminator",
        "format",
        "pattern",
        "schema",
        "content",
        "examples",
        "parameters",
        "operationId",
    ),
    *(
        "requestBody",
        "x-errors",
        "x-refusal",
        "x-user",
        "target",
        "update",
        "remove",
        "name",
        "in",
        "when",
        "with",
    ),
    *(
        "value_selector",
        "variable_selector",
        "context",
        "variables",
        "outputs",
        "x-fake",
        "error",
        "seconds",
        "status",
    ),
)


def mutated(random: Random, text: str, is_tree: bool, load: Callable[[str], Any]) -> bytes:
    """``text`` with one to four mutations; those of structure where it ``is_tree``, which ``load``
    reads.
    """
    if is_tree and random.random() < 0.7:
        tree = copied(load(text))
        for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
            random.choice(_TREE)(random, tree)
        text = _written(random, tree)
        if random.random() < 0.9:
            return text.encode("utf-8", "surrogatepass")
    for _ in range(random.choice((1, 1, 1, 3))):
        text = random.choice(_TEXT)(random, text)
    data = text.encode("utf-8", "surrogatepass")
    return random.choice(_BYTES)(random, data) if random.random() < 0.2 else data


def _written(random: Random, tree: Any) -> str:
    if random.random() < 0.6:
        return json.dumps(tree, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 1)))
    try:
        return dump_yaml(tree)
    except (UnicodeEncodeError, RecursionError, ValueError):
        return json.dumps(tree)


# Structure
# ---------------------------------------------------------------------------------------------


def _slots(value: Any) -> Iterator[Slot]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict | list):
            for key in list(one) if isinstance(one, dict) else range(len(one)):
                yield one, key
                pending.append(one[key])


def _slot(random: Random, tree: Any) -> Slot:
    """A place at random, those near the top oftener than their number."""
    slots = list(_slots(tree)) or [({"": None}, "")]
    return slots[int(len(slots) * random.random() ** random.choice((1, 2)))]


def _replace(random: Random, tree: Any) -> None:
    container, key = _slot(random, tree)
    container[key] = random.choice(ODD_VALUES)()


def _retype(random: Random, tree: Any) -> None:
    container, key = _slot(random, tree)
    value = container[key]
    wrapped: tuple[Any, ...] = (
        [value],
        {"a": value},
        str(value)[:1_000],
        [value, value],
        bool(value),
        len(str(value)),
    )
    container[key] = random.choice(wrapped)


def _delete(random: Random, tree: Any) -> None:
    container, key = _slot(random, tree)
    del container[key]


def _duplicate(random: Random, tree: Any) -> None:
    container, key = _slot(random, tree)
    value = copied(container[key])
    if isinstance(container, list):
        container[key:key] = [value] * random.choice((1, 1, 2, 300))
    else:
        container[str(key) + random.choice(("2", "x", " ", "é", "\0", "." * 300))] = value


def _swap(random: Random, tree: Any) -> None:
    (one, first), (other, second) = _slot(random, tree), _slot(random, tree)
    value = copied(other[second])
    other[second] = copied(one[first])
    if first in one if isinstance(one, dict) else first < len(one):
        one[first] = value


def _rename(random: Random, tree: Any) -> None:
    container, key = _slot(random, tree)
    if isinstance(container, dict):
        container[
            random.choice(
                ("", "$ref", "type", "x" * 10_000, key[:-1], key.upper(), "{1a}", "/{id}/{id}")
            )
        ] = container.pop(key)


def _add_keyword(random: Random, tree: Any) -> None:
    """A keyword of JSON Schema, OpenAPI or an app file with the value of another."""
    containers = [container for container, _ in _slots(tree) if isinstance(container, dict)]
    if containers:
        random.choice(containers)[random.choice(KEYWORDS)] = random.choice(ODD_VALUES)()


_TREE = (
    _add_keyword,
    _add_keyword,
    _replace,
    _replace,
    _replace,
    _retype,
    _retype,
    _delete,
    _duplicate,
    _swap,
    _rename,
)


# Text and bytes
# ---------------------------------------------------------------------------------------------


def _insert_token(random: Random, text: str) -> str:
    at = _at_value(random, text)
    return text[:at] + random.choice(TOKENS) + text[at:]


def _replace_value(random: Random, text: str) -> str:
    at = _at_value(random, text)
    end = text.find("\n", at)
    return text[:at] + random.choice(TOKENS) + (text[end:] if end >= 0 else "")


def _at_value(random: Random, text: str) -> int:
    """A place at random, mostly one where a value begins."""
    at = random.randint(0, len(text))
    found = max(text.find(": ", at), text.find("= ", at))
    return found + 2 if found >= 0 and random.random() < 0.8 else at


def _truncate(random: Random, text: str) -> str:
    return text[: random.randint(0, len(text))]


def _repeat_lines(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = random.randint(0, len(lines))
    return "".join(
        [
            *lines[:at],
            *lines[at : at + random.randint(1, 5)] * random.choice((2, 2, 500)),
            *lines[at:],
        ]
    )


def _drop_lines(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = random.randint(0, len(lines))
    return "".join(lines[:at] + lines[at + random.randint(1, 10) :])


def _bomb(random: Random, text: str) -> str:
    levels, width = random.choice(((10, 9), (30, 2), (4, 50)))
    merge = random.random() < 0.5
    lines = ["a0: &a0 {x: 1}"]
    for n in range(1, levels):
        inner = ", ".join([f"*a{n - 1}"] * width)
        lines.append(
            f"a{n}: &a{n} {{<<: [{inner}], y{n}: 1}}" if merge else f"a{n}: &a{n} [{inner}]"
        )
    return text + "\n" + "\n".join(lines) + "\n"


_TEXT = (
    _insert_token,
    _insert_token,
    _insert_token,
    _replace_value,
    _replace_value,
    _truncate,
    _repeat_lines,
    _drop_lines,
    _bomb,
)


def _flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _recode(random: Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    encoding = random.choice(("utf-16", "utf-16-be", "utf-32", "latin-1", "utf-8-sig", "cp037"))
    return text.encode(encoding, "replace")


def _noise(random: Random, data: bytes) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.randbytes(random.choice((1, 4, 100))) + data[at:]


_BYTES = (_flip, _flip, _recode, _noise)
