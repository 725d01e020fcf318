"""``docs/versions.md``: what each host version does otherwise, from the overlays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby, pairwise
from typing import Any

from dify_wire.overlay import read_overlay
from dify_wire.profile import HOST_VERSIONS, REFERENCE_VERSION, overlay_paths, profiles
from dify_wire.spec import load
from dify_wire.text_file import bundled
from tests.pages.markdown import code, generated, introduction, table

_VERSIONS = tuple(reversed(HOST_VERSIONS))
_LONGEST = 70
_BESIDE = ("errors", "headers", "version")
"""Facts with a table of their own: docs/errors.md, and the one of the headers."""


_GLANCE = """## At a glance

JSON is spaced (`", "` and `": "`) or compact; of errors and of the frames of a stream. A run may
take so many seconds and steps.
"""

_FACTS = """## Facts

Every fact of a profile (`x-host` in the overlays) that is not the same in all versions, from the
first version that has the value. The dataclasses of
[`fake_server/host_spec.py`](../fake_server/host_spec.py) say what each fact means.
"""


def versions_page() -> str:
    """The whole page."""
    changes = [_changes(older, newer) for older, newer in pairwise(_VERSIONS)]
    parts = [introduction("versions"), _GLANCE, _glance(), "## Operations\n", _operations()]
    return generated("\n".join([*parts, *reversed(changes), _FACTS, *_facts()]))


def _glance() -> str:
    rows = []
    for version, profile in reversed(list(profiles().items())):
        error, stream = profile.fact("http.error_json"), profile.fact("stream.json")
        rows.append(
            (
                f"**{version}**" if version == REFERENCE_VERSION else version,
                f"{error}, {stream}",
                f"{profile.fact('limits.run_s'):g} s, {profile.fact('limits.run_steps')}",
                code(profile.fact("dsl_version")),
                ", ".join(
                    code(f"{name}: {value[:40]}") for name, value in profile.facts["headers"]
                ),
                str(len(profile.errors)),
                str(len(_operations_of(version))),
            )
        )
    headings = ("version", "JSON", "run", "exports", "headers of every response")
    return table((*headings, "errors", "operations"), rows) + "\n"


def _operations() -> str:
    names = {name: None for version in _VERSIONS for name in _operations_of(version)}
    rows = [
        (code(name), *("✓" if name in _operations_of(one) else "" for one in _VERSIONS))
        for name in names
    ]
    return table(("operation", *_VERSIONS), rows) + "\n"


@cache
def _operations_of(version: str) -> tuple[str, ...]:
    paths = load(bundled("openapi.yaml"), overlay_paths(version), checked=True)["paths"]
    return tuple(
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if isinstance(operation, Mapping) and "operationId" in operation
    )


def _changes(older: str, newer: str) -> str:
    """What the overlay of ``newer`` says that it does otherwise; the oldest one is described by
    what it does not do yet.
    """
    version, other = (older, newer) if newer == REFERENCE_VERSION else (newer, older)
    path = next(one for one in overlay_paths(version) if one.stem == f"dify-{version}")
    texts = (action.get("description", "") for action in read_overlay(path)["actions"])
    lines = [f"- {' '.join(text.split())}" for text in dict.fromkeys(texts) if text]
    return "\n".join([f"## {version} otherwise than {other}\n", *lines, ""])


def _facts() -> Iterator[str]:
    of_versions = {version: dict(_flat(one.facts)) for version, one in profiles().items()}
    names = {name: None for facts in of_versions.values() for name in facts}
    for group, grouped in groupby(sorted(names), lambda name: name.partition(".")[0]):
        if group not in _BESIDE:
            rows = []
            for name in grouped:
                by_version = {v: facts.get(name) for v, facts in of_versions.items()}
                if len(values := list(_by_value(by_version))) > 1:
                    rows.append((code(name), ", ".join(values)))
            if rows:
                yield f"### {group}\n\n{table(('fact', 'values'), rows)}\n"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _by_value(by_version: Mapping[str, Any]) -> Iterator[str]:
    for value, versions in groupby(by_version.items(), lambda one: one[1]):
        shown = json.dumps(value, ensure_ascii=False)
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
        yield f"{next(versions)[0]}: {code(shown)}"
