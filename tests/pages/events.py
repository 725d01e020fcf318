"""``docs/events.md``: the events of a stream as TypeScript, from the merged documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from dify_wire.profile import HOST_VERSIONS, REFERENCE_VERSION, overlay_paths
from dify_wire.spec import load
from dify_wire.text_file import bundled
from tests.pages.markdown import code, generated, introduction, table
from tests.pages.typescript import declaration, fields, reachable

_UNION = "StreamEvent"


def events_page() -> str:
    """The whole page."""
    later = HOST_VERSIONS[HOST_VERSIONS.index(REFERENCE_VERSION) :: -1]
    parts = [introduction("events", version=REFERENCE_VERSION), types(REFERENCE_VERSION)]
    parts.append("## What later versions change")
    parts += [_changes(older, newer) for older, newer in pairwise(later)]
    return generated("\n\n".join(parts) + "\n")


def types(version: str) -> str:
    """A block with all types of ``version``."""
    schemas = _schemas(version)
    return _block(declaration(name, schema) for name, schema in schemas.items())


@cache
def _schemas(version: str) -> Mapping[str, Any]:
    """What the events of ``version`` are made of."""
    schemas = load(bundled("openapi.yaml"), overlay_paths(version))["components"]["schemas"]
    return {name: schemas[name] for name in reachable(schemas, _UNION)}


def _changes(older: str, newer: str) -> str:
    before, after = _schemas(older), _schemas(newer)
    added = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    new_events = [name for name in _events(newer) if name not in _events(older)]
    old_events = [name for name in _events(older) if name not in _events(newer)]
    parts = [f"### {newer}"]
    if new_events:
        parts.append(f"New events: {', '.join(map(code, new_events))}.")
    if old_events:
        parts.append(f"No longer sent: {', '.join(map(code, old_events))}.")
    rows = [
        (code(name), "; ".join(_difference(before[name], after[name])))
        for name in after
        if name in before and name != _UNION and any(_difference(before[name], after[name]))
    ]
    if rows:
        parts.append(table(("type", "change"), rows))
    if added:
        parts.append(_block(declaration(name, after[name]) for name in added))
    if gone:
        parts.append(f"Types that are gone: {', '.join(map(code, gone))}.")
    if len(parts) == 1:
        parts.append("Nothing.")
    return "\n\n".join(parts)


def _events(version: str) -> list[str]:
    return list(_schemas(version)[_UNION]["discriminator"]["mapping"])


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What a type gains and loses: fields, or values of an enumeration."""
    old, new = _lines(before), _lines(after)
    if added := [line for name, line in new.items() if name not in old]:
        yield f"adds {', '.join(map(code, added))}"
    for name, line in new.items():
        if name in old and old[name] != line:
            yield f"has {code(line)} instead of {code(old[name])}"
    if gone := [name for name in old if name not in new]:
        yield f"drops {', '.join(map(code, gone))}"


def _lines(schema: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a type by name, or the values of an enumeration, each in one line."""
    values = {value: value for value in schema.get("enum", ())}
    return {name: " ".join(line.split()) for name, line in fields(schema).items()} | values


def _block(declarations: Iterator[str]) -> str:
    return "```ts\n" + "\n\n".join(declarations) + "\n```"
