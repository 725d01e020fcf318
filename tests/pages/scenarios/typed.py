"""``fake_server/testing/typed.py``: what tests write, as types, made of settings, behaviours and
match fields.
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from dataclasses import fields

from fake_server.journal.matching import FIELDS
from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.conditions import NAMES
from fake_server.scenarios.parameters import Parameter
from fake_server.settings import Settings
from fake_server.testing import ALIASES, NO_OPTIONS
from tests.serving import ROOT

TYPED = ROOT / "fake_server" / "testing" / "typed.py"

_HEAD = '''"""Types for tests; made by ``make docs`` of settings, behaviours and match fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

from fake_server.testing.handles import Scenario


class Contains(TypedDict):
    """A string that contains another."""

    contains: str


class Matches(TypedDict):
    """A string that a regular expression is found in."""

    matches: str


Text = str | Contains | Matches
'''

_REQUESTS = '''
class Requests(TypedDict, total=False):
    """The requests that a scenario acts on."""

    times: int | None
    when: When | None
'''

_TAIL = '''
    def scenario(self, name: str, /, *, times: int | None = None, when: When | None = None,
                 **with_: Any) -> Scenario:
        """Let the scenario ``name`` act on requests from now on, with its parameters.

        ``times`` is how many requests it acts on, ``when`` which ones. It stays until ``remove``,
        the end of a ``with`` block or a reset. Raises ``ScenarioError`` and changes nothing where
        it is invalid.
        """
        __tracebackhide__ = True
        return self._add_scenario(name, times, when, with_)

    def _add_scenario(self, name: str, times: int | None, when: When | None,
                      with_: dict[str, Any]) -> Scenario:
        raise NotImplementedError
'''

_METHOD, _REST = " " * 4, " " * 17

_OPTIONS = {
    "str": "str",
    "int": "int",
    "float": "float",
    "Path": "str | Path",
    "tuple[str, ...]": "str | Sequence[str]",
    "tuple[Path, ...]": "str | Path | Sequence[str | Path]",
}
_SPECIAL = {
    "speed": 'float | Literal["instant"] | None',
    "clock": "str | date | None",
    "apps": "Mapping[str, str | Path]",
}
_CONDITIONS = {
    "operation": "str",
    "prompt": "Text",
    "model": "Text",
    "user": "Text",
    "mode": 'Literal["blocking", "streaming"]',
    "header": "Mapping[str, Text]",
    "call": "int",
    "probability": "float",
    "seed": "int",
}
_MATCHES = {"status": "int", "header": "Mapping[str, str | None]", "json": "Any"}


def typed_module() -> str:
    """The whole file."""
    parts = [
        _HEAD,
        _typed_dict("HostOptions", "Settings of a host in a test.", _host_options()),
        _typed_dict(
            "When", "Conditions of a scenario.", {name: _CONDITIONS[name] for name in NAMES}
        ),
        _typed_dict(
            "RequestMatch",
            "A description of requests.",
            {name: _MATCHES.get(name, "str") for name in FIELDS},
        ),
        _REQUESTS,
        '\nclass TypedScenarios:\n    """The method ``scenario``, typed by scenario."""\n',
        *map(_overload, _by_parameters()),
        _TAIL,
    ]
    return "\n".join(parts)


def _host_options() -> dict[str, str]:
    options = {}
    for field in fields(Settings):
        if field.name not in (*NO_OPTIONS, "seed"):
            kind = str(field.type).removesuffix(" | None")
            none = " | None" if str(field.type).endswith(" | None") else ""
            options[field.name] = _SPECIAL.get(field.name) or _OPTIONS[kind] + none
    return options | {short: options[setting] for short, setting in ALIASES.items()}


def _typed_dict(name: str, about: str, types: dict[str, str]) -> str:
    lines = [f"class {name}(TypedDict, total=False):", f'    """{about}"""\n']
    return "\n".join(["", *lines, *(f"    {key}: {kind}" for key, kind in types.items()), ""])


def _by_parameters() -> list[list[Behaviour]]:
    groups: defaultdict[str, list[Behaviour]] = defaultdict(list)
    for behaviour in BEHAVIOURS.values():
        groups[_parameters(behaviour)].append(behaviour)
    return list(groups.values())


def _overload(behaviours: list[Behaviour]) -> str:
    names = _literal([one.name for one in behaviours])
    parameters = _parameters(behaviours[0])
    takes = f"{'*, ' if parameters else ''}{parameters}**on: Unpack[Requests]"
    method = f"def scenario(self, scenario: {names}, /, {takes}) -> Scenario: ..."
    unbroken = re.sub(r"(?<!,) ", "~", method).replace("def~", "def ")  # breaks after commas only
    lines = textwrap.fill(unbroken, 100, initial_indent=_METHOD, subsequent_indent=_REST)
    return f"    @overload\n{lines.replace('~', ' ')}"


def _parameters(behaviour: Behaviour) -> str:
    return "".join(f"{one.name}: {_kind(one)} = ..., " for one in behaviour.parameters.values())


def _kind(parameter: Parameter) -> str:
    return parameter.kind.__name__ if parameter.choices is None else _literal(parameter.choices)


def _literal(values: list[str] | tuple[str, ...]) -> str:
    return "Literal[{}]".format(", ".join(f'"{value}"' for value in values))
