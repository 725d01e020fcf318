"""``docs/errors.md``: every error of every host version, from the overlays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from dify_wire.error_text import ErrorText
from dify_wire.profile import HOST_VERSIONS, overlay_paths, profiles
from dify_wire.spec import load
from dify_wire.text_file import bundled
from tests.pages.markdown import code, generated, introduction, table

CONDITIONS = Path(__file__).with_name("errors.yml")

_VERSIONS = tuple(reversed(HOST_VERSIONS))


_OPERATIONS = """## By operation

The errors of each operation, in the order in which the host checks a request.
`method_not_allowed`, which the path decides, and the errors of the host itself (`internal_error`,
`internal_server_error`) have no place in it.
"""


def conditions() -> Mapping[str, Mapping[str, str]]:
    """When each error comes, by section and name."""
    found: dict[str, dict[str, str]] = yaml.safe_load(CONDITIONS.read_text("utf-8"))
    return found


def errors_page() -> str:
    """The whole page."""
    of_versions = profiles()
    parts = [introduction("errors")]
    for section, texts in conditions().items():
        rows = [
            row
            for name, when in texts.items()
            for row in _rows(name, when, {v: p.errors.get(name) for v, p in of_versions.items()})
        ]
        headings = ("error", "when", "versions", "status", "code", "message")
        parts.append(f"## {section}\n\n{table(headings, rows)}\n")
    return generated("\n".join([*parts, _OPERATIONS, *_operations()]))


def _rows(
    name: str, when: str, by_version: Mapping[str, ErrorText | None]
) -> Iterator[tuple[str, ...]]:
    """A row for each text that the error has in some version."""
    first = True
    for text, versions in _by_value(by_version):
        if text is not None:
            head = (f'<span id="{name}"></span>{code(name)}', when) if first else ("", "")
            yield (*head, _range(versions), str(text.status), *_shown(text))
            first = False


def _shown(text: ErrorText) -> tuple[str, str]:
    error = code(text.body["code"]) if "code" in text.body else ""
    if tuple(text.body) == ("code", "message", "status"):
        return error, code(text.body["message"])
    return error, code(json.dumps(text.body, ensure_ascii=False))


def _operations() -> Iterator[str]:
    orders: dict[str, dict[str, tuple[str, ...] | None]] = {}
    for version in _VERSIONS:
        for name, order in _errors_of_operations(version):
            orders.setdefault(name, dict.fromkeys(_VERSIONS))[version] = order
    by_order: dict[Any, list[str]] = {}
    for name, by_version in orders.items():
        by_order.setdefault(tuple(_by_value(by_version)), []).append(name)
    for versions_of, names in by_order.items():
        lines = [", ".join(map(code, names)), ""]
        for order, versions in versions_of:
            if order is not None:
                links = ", ".join(f"[{one}](#{one})" for one in order)
                lines.append(f"- {_range(versions)}: {links}")
        yield "\n".join([*lines, ""])


def _errors_of_operations(version: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    document = load(bundled("openapi.yaml"), overlay_paths(version), checked=True)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, Mapping) and "operationId" in operation:
                extra = (operation["x-refusal"],) if "x-refusal" in operation else ()
                order = (*operation.get("x-errors", ()), *extra)
                yield f"{method.upper()} {path}", tuple(dict.fromkeys(order))


def _by_value(by_version: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Neighbouring versions with the same value together, oldest first."""
    for value, pairs in groupby(by_version.items(), lambda one: one[1]):
        yield value, tuple(version for version, _ in pairs)


def _range(versions: Sequence[str]) -> str:
    if versions == _VERSIONS:
        return "all"
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def undescribed(names: Iterable[str]) -> set[str]:
    """Names of errors without a condition, and conditions without an error."""
    described = {name for texts in conditions().values() for name in texts}
    return described ^ set(names)
