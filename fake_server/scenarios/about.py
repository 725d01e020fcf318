"""What the docstrings of the behaviours say, in parts: for the command ``scenarios`` and for
``docs/scenarios.md``.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_server.scenarios.behaviour import Behaviour, catalogue
from fake_server.scenarios.parameters import Parameter

SCHEMA = Path(__file__).parent.parent / "data" / "scenarios.schema.json"
"""The JSON Schema of files for ``--scenarios``: what ``load.schema`` says for the bundled spec."""

_WIDTH = 80
_SAID = re.compile(r"\b(Complaint|Survive):\s")


@dataclass(frozen=True, slots=True)
class About:
    """What a behaviour does (``headline`` is its first sentence), for which trouble it stands, how
    to live with it.
    """

    headline: str
    does: str
    complaint: str
    survive: str


def about(behaviour: Behaviour) -> About:
    """The docstring of ``behaviour`` in parts, without line breaks inside a paragraph."""
    does, _, complaint, _, survive = _SAID.split(inspect.cleandoc(behaviour.about))
    paragraphs = [" ".join(paragraph.split()) for paragraph in does.strip().split("\n\n")]
    return About(
        _first_sentence(paragraphs[0]),
        "\n\n".join(paragraphs),
        " ".join(complaint.split()),
        " ".join(survive.split()),
    )


def groups() -> Mapping[str, list[Behaviour]]:
    """All behaviours under what their file says that they are of."""
    found: dict[str, list[Behaviour]] = {}
    for behaviour in catalogue().values():
        module = importlib.import_module(behaviour.make.__module__)
        title = (module.__doc__ or "").partition(":")[0]
        found.setdefault(title, []).append(behaviour)
    return found


def as_json(behaviour: Behaviour) -> dict[str, Any]:
    """``behaviour`` for a script."""
    said = about(behaviour)
    return {
        "name": behaviour.name,
        "does": said.does,
        "acts_on": behaviour.scope.name.lower(),
        "with": {name: one.schema for name, one in behaviour.parameters.items()},
        "complaint": said.complaint,
        "survive": said.survive,
    }


def listing() -> str:
    """Every behaviour with one line, in 80 columns."""
    column = max(map(len, catalogue())) + 4
    lines = []
    for title, behaviours in groups().items():
        lines += ["", title]
        for one in behaviours:
            headline = textwrap.shorten(
                about(one).headline.replace("``", "`"), _WIDTH - column, placeholder=" …"
            )
            lines.append(f"  {one.name}".ljust(column) + headline)
    return "\n".join(lines[1:])


def page(behaviour: Behaviour) -> str:
    """Everything about one behaviour, in 80 columns."""
    said = about(behaviour)
    parameters = [
        f"  {one.name}: {takes(one)}; {default(one)}" for one in behaviour.parameters.values()
    ]
    paragraphs = [
        behaviour.name,
        *(_filled(paragraph) for paragraph in said.does.split("\n\n")),
        f"Acts on {behaviour.scope.in_words}.",
        *([_filled(behaviour.cors_note)] if behaviour.cors_note else []),
        "\n".join(["Parameters:", *parameters]) if parameters else "It takes no parameters.",
        _filled(f"Complaint: {said.complaint}"),
        _filled(f"Survive: {said.survive}"),
    ]
    return "\n\n".join(paragraphs)


def takes(parameter: Parameter) -> str:
    """What ``parameter`` can be, in words."""
    return parameter.needed.rstrip(",")


def default(parameter: Parameter) -> str:
    """What ``parameter`` is where it is not said, in words."""
    return (
        "not said by default"
        if parameter.default is None
        else f"by default {shown_default(parameter)}"
    )


def shown_default(parameter: Parameter) -> str:
    """The default of ``parameter`` as a file would say it."""
    import json

    value = parameter.default
    if isinstance(value, str) and parameter.choices is not None:
        return value
    return json.dumps(
        int(value) if isinstance(value, float) and value.is_integer() else value, ensure_ascii=False
    )


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s|[:;] ", text, maxsplit=1)[0].rstrip(".")


def _filled(text: str) -> str:
    return textwrap.fill(
        text.replace("``", "`"), _WIDTH, break_long_words=False, break_on_hyphens=False
    )
