"""How a node behaves without anything real behind it: ``x-fake`` of an app file, and the file
beside an export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dify_wire.strict import Field

_SPREAD = 0.05
_MAX_NUMBER = 1e9
_MAX_FILES = 100
_MISSING = ("model", "provider", "tool")


class FakeFile(NamedTuple):
    """A file that a tool, an agent or a model gives; ``url`` is where it took it from."""

    url: str | None = None
    type: str = "image"
    extension: str = ".png"
    mime_type: str = "image/png"


class FakeResponse(NamedTuple):
    """The response to an http-request node."""

    status: int = 200
    headers: Mapping[str, str] | None = None
    body: str | None = None


class NodeBehaviour(NamedTuple):
    """``spread`` is the fraction by which the durations of runs differ.

    ``error`` makes the node fail, the first ``fails`` tries of it or all; ``error_type`` is the
    class of the error, ``missing`` what is not installed on the host: model, provider or tool.
    ``outputs`` replace all that the node would give out. ``reply`` is a template of a model's text,
    ``reasoning`` what it thought; tokens that are not given are counted. ``text`` are the messages
    of a tool or an agent, ``files``, ``json`` and ``variables`` what else it gives; ``logs`` what
    an agent writes. ``no_image`` is a tool whose image server failed. ``response`` is that to an
    http-request; ``branch`` the class that a classifier finds. ``fault`` names an error of the host
    in its own words, which differ by version (``x-host.nodes.faults``); a scenario sets it.
    """

    seconds: float
    spread: float
    error: str | None = None
    error_type: str | None = None
    fails: int | None = None
    missing: str | None = None
    outputs: Mapping[str, Any] | None = None
    reply: str | None = None
    reasoning: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    text: tuple[str, ...] | None = None
    files: tuple[FakeFile, ...] | None = None
    json: tuple[Any, ...] | None = None
    variables: Mapping[str, Any] | None = None
    logs: tuple[Mapping[str, Any], ...] | None = None
    no_image: bool = False
    response: FakeResponse | None = None
    branch: str | None = None
    fault: str | None = None


def read_behaviour(extra: Field | None, seconds: float) -> NodeBehaviour:
    """The behaviour that ``extra`` gives a node which takes ``seconds`` otherwise."""
    if extra is None:
        return NodeBehaviour(seconds, _SPREAD)
    extra.only(*_READ)
    given: dict[str, Any] = {"seconds": seconds, "spread": _SPREAD}
    for name, field in extra.items():
        if field.value is not None:
            given[name] = _READ[name](field)
    if "fails" in given and "error" not in given:
        extra["fails"].fail("tries that fail need an error; add error")
    return NodeBehaviour(**given)


def _files(field: Field) -> tuple[FakeFile, ...]:
    if not isinstance(field.value, list):
        return (FakeFile(),) * field.whole(0, _MAX_FILES)
    files = []
    for entry in field.entries():
        entry.only(*FakeFile._fields)
        files.append(FakeFile(**{name: one.text() for name, one in entry.items()}))
    return tuple(files)


def _response(field: Field) -> FakeResponse:
    field.only(*FakeResponse._fields)
    status, headers, body = field.get("status"), field.get("headers"), field.get("body")
    return FakeResponse(
        status=status.whole(100, 599) if status else 200,
        headers={name: str(one.value) for name, one in headers.items()} if headers else None,
        body=body.text() if body else None,
    )


_READ: Mapping[str, Callable[[Field], Any]] = {
    "seconds": lambda field: field.number(0, _MAX_NUMBER),
    "spread": lambda field: field.number(0, 1),
    "error": Field.text,
    "error_type": Field.text,
    "fails": lambda field: field.whole(0),
    "missing": lambda field: field.choice(_MISSING, "part of the host"),
    "outputs": Field.mapping,
    "reply": Field.text,
    "reasoning": Field.text,
    "prompt_tokens": lambda field: field.whole(0, _MAX_NUMBER),
    "completion_tokens": lambda field: field.whole(0, _MAX_NUMBER),
    "text": lambda field: field.texts() if isinstance(field.value, list) else (field.text(),),
    "files": _files,
    "json": lambda field: tuple(one.value for one in field.entries()),
    "variables": Field.mapping,
    "logs": lambda field: tuple(one.mapping() for one in field.entries()),
    "no_image": Field.boolean,
    "response": _response,
    "branch": Field.text,
}
