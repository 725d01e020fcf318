"""``docs/scenarios.md``, made of an introduction, the docstrings of the behaviours and real
captures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fake_server.scenarios.about import about, groups, shown_default, takes
from fake_server.scenarios.behaviour import Behaviour, catalogue
from fake_server.scenarios.load import schema
from fake_server.spec import load_host
from tests.scenario_docs.capture import CLOCK, PROMPT, SEED, captured
from tests.scenario_docs.examples import EXAMPLES
from tests.scenario_docs.transcript import transcript

_INTRODUCTION = Path(__file__).parent / "introduction.md"


def scenarios_page() -> str:
    """The whole of ``docs/scenarios.md``."""
    introduction = _INTRODUCTION.read_text("utf-8")
    for name, value in (("seed", str(SEED)), ("clock", CLOCK), ("prompt", PROMPT)):
        introduction = introduction.replace(f"{{{name}}}", value)
    sections = [introduction, *_contents()]
    for title, behaviours in groups().items():
        sections.append(f"## {title}\n")
        sections += [_section(behaviour) for behaviour in behaviours]
    return "\n".join(sections)


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
    said = about(behaviour)
    example = EXAMPLES[behaviour.name]
    asked = {
        "picture": "GET of a picture",
        "blocking": "blocking run",
        "streaming": "streaming run",
        "file": "blocking run with a user's picture",
    }[example.asks]
    shown = transcript(captured(example.capture), example.shows, example.first, example.last)
    parts = [
        f"### {behaviour.name}",
        _marked(said.does),
        f"Acts on {behaviour.scope.in_words}.{_rivals(behaviour)}",
        *([behaviour.cors_note] if behaviour.cors_note else []),
        *_parameters(behaviour),
        f"```text\nX-Fake-Scenario: {example.header}    ({asked})\n\n{shown}\n```",
        f"*Complaint:* {said.complaint}",
        f"*Survive:* {said.survive}",
    ]
    return "\n\n".join(parts) + "\n"


def _parameters(behaviour: Behaviour) -> Iterator[str]:
    if behaviour.parameters:
        rows = [
            f"| `{one.name}` | {takes(one)} | {'–' if one.default is None else f'`{shown_default(one)}`'} |"
            for one in behaviour.parameters.values()
        ]
        yield "\n".join(["| parameter | what it takes | default |", "|---|---|---|", *rows])


def _rivals(behaviour: Behaviour) -> str:
    """The others that cannot act on the same request, as far as that does not hang on
    parameters.
    """
    word = behaviour.exclusion({})
    rivals = [
        f"`{one.name}`"
        for one in catalogue().values()
        if one is not behaviour and one.exclusion({}) == word
    ]
    return f" Not together with {', '.join(rivals)}." if rivals else ""


def _marked(text: str) -> str:
    return text.replace("``", "`")
