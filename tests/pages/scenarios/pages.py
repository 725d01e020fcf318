"""``docs/scenarios.md``, made of an introduction, the docstrings of the behaviours and real
captures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.describe import cors_note, default, description, groups
from fake_server.scenarios.rules import schema
from fake_server.spec import load_host
from tests.pages.markdown import generated, introduction
from tests.pages.scenarios.capture import CLOCK, PROMPT, SEED, captured
from tests.pages.scenarios.examples import example
from tests.pages.scenarios.transcript import transcript


def scenarios_page() -> str:
    """The whole of ``docs/scenarios.md``."""
    first = introduction("scenarios", seed=SEED, clock=CLOCK, prompt=PROMPT)
    sections = [first, *_contents()]
    for title, behaviours in groups().items():
        sections.append(f"## {title}\n")
        sections += [_section(behaviour) for behaviour in behaviours]
    return generated("\n".join(sections))


def schema_text() -> str:
    """The whole of ``scenarios.schema.json``."""
    operations = tuple(operation.operation_id for operation in load_host("0.6.4").operations)
    return json.dumps(schema(operations), indent=1, ensure_ascii=False) + "\n"


def _contents() -> Iterator[str]:
    for title, behaviours in groups().items():
        names = ", ".join(f"[`{one.name}`](#{one.name})" for one in behaviours)
        yield f"- {title}: {names}"
    yield ""


def _section(behaviour: Behaviour) -> str:
    text, note = description(behaviour), cors_note(behaviour)
    shown = example(behaviour.name)
    request = {
        "image": "GET of an image",
        "blocking": "blocking run",
        "streaming": "streaming run",
        "file": "blocking run with a user's image",
    }[shown.request]
    capture = transcript(captured(shown.capture), shown.shows, shown.first, shown.last)
    parts = [
        f"### {behaviour.name}",
        text.does.replace("``", "`"),
        f"Acts on {behaviour.scope.value}.{_exclusive(behaviour)}",
        *([note] if note else []),
        *_parameters(behaviour),
        f"```text\nX-Fake-Scenario: {shown.header}    ({request})\n\n{capture}\n```",
        f"*Complaint:* {text.complaint}",
        f"*Survive:* {text.survive}",
    ]
    return "\n\n".join(parts) + "\n"


def _parameters(behaviour: Behaviour) -> Iterator[str]:
    if behaviour.parameters:
        rows = [
            f"| `{name}` | {one.expected} | {f'`{default(one)}`' if default(one) else '–'} |"
            for name, one in behaviour.parameters.items()
        ]
        yield "\n".join(["| parameter | what it takes | default |", "|---|---|---|", *rows])


def _exclusive(behaviour: Behaviour) -> str:
    """The others that cannot act on the same request, unless that depends on parameters."""
    word = behaviour.exclusion({})
    others = [
        f"`{one.name}`"
        for one in BEHAVIOURS.values()
        if one is not behaviour and one.exclusion({}) == word
    ]
    return f" Not together with {', '.join(others)}." if others else ""
