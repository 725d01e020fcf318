"""The documentation of behaviours, for the command ``scenarios`` and ``docs/scenarios.md``."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.parameters import Parameter

_WIDTH = 80
_PARTS = re.compile(r"^(?:Complaint|Survive): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Description:
    """What a behaviour does (``headline`` is the first sentence), which complaint of users it
    reproduces, and how a client survives it.
    """

    headline: str
    does: str
    complaint: str
    survive: str


def description(behaviour: Behaviour) -> Description:
    """The docstring of ``behaviour`` in parts, without line breaks inside a paragraph."""
    does, complaint, survive = _PARTS.split(behaviour.doc)
    does = "\n\n".join(" ".join(part.split()) for part in does.strip().split("\n\n"))
    headline = re.split(r"(?<=[.])\s|[:;] ", does, maxsplit=1)[0].rstrip(".")
    return Description(headline, does, " ".join(complaint.split()), " ".join(survive.split()))


def groups() -> Mapping[str, list[Behaviour]]:
    """All behaviours under the titles of their modules."""
    found: dict[str, list[Behaviour]] = {}
    for behaviour in BEHAVIOURS.values():
        doc = sys.modules[behaviour.make.__module__].__doc__ or ""
        found.setdefault(re.split("[:.]", doc)[0], []).append(behaviour)
    return found


def cors_note(behaviour: Behaviour) -> str | None:
    """What a page in a browser sees instead of the response, where it does."""
    if behaviour.without_cors is None:
        return None
    given = [f"With {name}={value}" for name, value in behaviour.without_cors.items()]
    return (
        f"{given[0] if given else 'Here'} the response is that of a proxy, without CORS headers: a "
        'page of another origin sees no status, only "TypeError: Failed to fetch".'
    )


def to_json(behaviour: Behaviour) -> dict[str, Any]:
    """``behaviour`` for a script."""
    text = description(behaviour)
    return {
        "name": behaviour.name,
        "headline": text.headline,
        "does": text.does,
        "acts_on": behaviour.scope.name.lower(),
        "with": {name: one.schema for name, one in behaviour.parameters.items()},
        "complaint": text.complaint,
        "survive": text.survive,
    }


def listing() -> str:
    """Every behaviour with one line, in 80 columns."""
    column = max(map(len, BEHAVIOURS)) + 4
    lines = []
    for title, behaviours in groups().items():
        lines += ["", title]
        for one in behaviours:
            headline = description(one).headline.replace("``", "`")
            headline = textwrap.shorten(headline, _WIDTH - column, placeholder=" …")
            lines.append(f"  {one.name}".ljust(column) + headline)
    return "\n".join(lines[1:])


def page(behaviour: Behaviour) -> str:
    """Everything about one behaviour, in 80 columns."""
    text = description(behaviour)
    parameters = [
        f"  {one.name}: {one.expected}; default: {default(one) or 'none'}"
        for one in behaviour.parameters.values()
    ]
    note = cors_note(behaviour)
    paragraphs = [
        behaviour.name,
        *(_filled(paragraph) for paragraph in text.does.split("\n\n")),
        f"Acts on {behaviour.scope.value}.",
        *([_filled(note)] if note else []),
        "\n".join(["Parameters:", *parameters]) if parameters else "No parameters.",
        _filled(f"Complaint: {text.complaint}"),
        _filled(f"Survive: {text.survive}"),
    ]
    return "\n\n".join(paragraphs)


def default(parameter: Parameter) -> str | None:
    """The default of ``parameter`` as a file writes it; None where it has none."""
    value = parameter.default
    if value is None:
        return None
    if parameter.choices is not None:
        return str(value)
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def _filled(text: str) -> str:
    return textwrap.fill(
        text.replace("``", "`"), _WIDTH, break_long_words=False, break_on_hyphens=False
    )
