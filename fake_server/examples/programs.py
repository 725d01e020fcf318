"""Programs that run a workflow of a host: one template for each language, in ``templates/``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined


class Language(NamedTuple):
    """What a program needs, and how it is started once it is saved as ``file``."""

    name: str
    file: str
    run: str
    needs: str


LANGUAGES: Mapping[str, Language] = {
    one.name: one
    for one in (
        Language("curl", "run.sh", "sh run.sh", "curl 7.76 or newer"),
        Language("python", "run.py", "python run.py", "pip install httpx httpx-sse"),
        Language("js", "run.mjs", "node run.mjs", "Node 20 or newer"),
        Language("go", "run.go", "go run run.go", "Go 1.18 or newer"),
        Language("java", "Run.java", "java Run.java", "Java 17 or newer"),
    )
}


def render(language: Language, base_url: str, api_key: str | None, body: Mapping[str, Any]) -> str:
    """The program in ``language`` that sends ``body`` to the host at ``base_url``. Without a key
    those in Python and JavaScript read the environment variable ``API_KEY``.
    """
    environment = Environment(  # noqa: S701  # programs, whose values the filters quote
        loader=PackageLoader("fake_server.examples"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        json=_json, shell=shlex.quote, python=_PYTHON.literal, go=_GO.literal
    )
    streaming = body["response_mode"] == "streaming"
    template = environment.get_template(f"{language.file}.j2")
    return template.render(base_url=base_url, api_key=api_key, body=body, streaming=streaming)


def _json(value: Any) -> str:
    """``value`` in JSON, which is JavaScript too; a text is one of Go, Java and Python as well."""
    return json.dumps(value, ensure_ascii=False, indent=2)


class _Notation(NamedTuple):
    """How a language writes nested values."""

    indent: str
    mapping: str
    sequence: str
    close_sequence: str
    words: Mapping[Any, str]
    aligned: bool = False

    def literal(self, value: Any, depth: int = 0) -> str:
        inner, outer = self.indent * (depth + 1), self.indent * depth
        if isinstance(value, Mapping):
            if not value:
                return f"{self.mapping}}}"
            lines = []
            for name, item in value.items():
                gap = self._gap(name, value)
                lines.append(f"{inner}{_json(name)}:{gap}{self.literal(item, depth + 1)},\n")
            return f"{self.mapping}\n{''.join(lines)}{outer}}}"
        if isinstance(value, list):
            if not any(isinstance(item, Mapping | list) for item in value):
                inline = ", ".join(map(self.literal, value))
                return f"{self.sequence}{inline}{self.close_sequence}"
            lines = [f"{inner}{self.literal(item, depth + 1)},\n" for item in value]
            return f"{self.sequence}\n{''.join(lines)}{outer}{self.close_sequence}"
        if value is None or isinstance(value, bool):
            return self.words[value]
        return _json(value)

    def _gap(self, name: str, mapping: Mapping[str, Any]) -> str:
        """Spaces after the key, as gofmt aligns the values of lines that follow each other."""
        if not self.aligned or _is_nested(mapping[name]):
            return " "
        names = list(mapping)
        first = last = names.index(name)
        while first and not _is_nested(mapping[names[first - 1]]):
            first -= 1
        while last + 1 < len(names) and not _is_nested(mapping[names[last + 1]]):
            last += 1
        widest = max(len(_json(one)) for one in names[first : last + 1])
        return " " * (widest - len(_json(name)) + 1)


def _is_nested(value: Any) -> bool:
    return bool(value) and isinstance(value, Mapping | list)


_PYTHON = _Notation("    ", "{", "[", "]", {None: "None", True: "True", False: "False"})
_GO = _Notation(
    "\t", "map[string]any{", "[]any{", "}", {None: "nil", True: "true", False: "false"}, True
)
