"""Requests that schemathesis makes from the merged spec: right ones, and ones that break the spec
in one place.

They go through the same checker as ours; and schemathesis applies its own checks of
conformance to each response, so that one reader's mistake in the spec is not both readers' mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.checker import Problem
from tests.fuzz.message import render
from tests.fuzz.session import Example
from tests.fuzz.strategies import HOST, World
from tests.serving import RawAnswer

_CHECKS = [
    status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
_MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
_SENT = ("method", "url", "params", "headers", "data", "json", "files", "cookies")
_OURS = {
    "host", "user-agent", "accept-encoding", "accept", "connection", "content-length",
    "x-schemathesis-testcaseid",
}  # fmt: skip
"""Headers of the client, which are not sent here, or are sent by ``render``."""


def examples(
    document: Mapping[str, Any], world: World
) -> Iterator[tuple[str, st.SearchStrategy[Example]]]:
    """For each operation and each of right and wrong: its name, and what makes the requests."""
    schema = schemathesis.openapi.from_dict(dict(document))
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in _MODES:
            cases = operation.as_strategy(generation_mode=mode)
            keys = st.sampled_from(["default", "default", "default", "unpublished", ""])
            yield (
                f"schemathesis {mode.value}",
                st.builds(lambda case, app: _example(case, world.keys.get(app)), cases, keys),
            )


def _example(case: schemathesis.Case[Any], key: str | None) -> Example:
    """The request of ``case``, with a key that is good where ``key`` is one."""
    if key is not None:
        case.headers["Authorization"] = f"Bearer {key}"
    arguments = case.as_transport_kwargs(base_url="http://127.0.0.1:6060")
    prepared = requests.Request(
        **{name: arguments[name] for name in _SENT if name in arguments}
    ).prepare()
    return Example((_raw(prepared),), also=lambda response: _problems(case, prepared, response))


def _raw(prepared: requests.PreparedRequest) -> bytes:
    kept = [
        (_encoded(name), _encoded(value))
        for name, value in prepared.headers.items()
        if name.lower() not in _OURS
    ]
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    assert body is None or isinstance(body, bytes)
    return render(_encoded(prepared.method or ""), _encoded(prepared.path_url), [HOST, *kept], body)


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _problems(
    case: schemathesis.Case[Any], prepared: requests.PreparedRequest, response: RawAnswer
) -> Iterator[Problem]:
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name.lower(), []).append(value)
    theirs = Response(response.status, headers, response.body, prepared, elapsed=0.0, verify=False)
    try:
        case.validate_response(theirs, checks=_CHECKS)
    except FailureGroup as group:
        for failure in group.exceptions:
            yield Problem(
                f"schemathesis: {type(failure).__name__}", " ".join(str(failure).split())[:600]
            )
