"""What the fake knows of the host it fakes, as frozen values: routes, inputs, limits, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fake_server.http.errors import HostErrors

PATH_PARAMETER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class InputRule:
    """What the spec says of one input of the default app."""

    name: str
    required: bool
    options: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the spec. ``user_in`` says where the host looks for the user: query, json,
    form or nowhere.

    ``query`` are the required parameters of the query, in the order in which the host misses them;
    ``uuids`` are the parameters of the path that only a UUID matches.
    """

    operation_id: str
    method: str
    path: str
    user_in: str | None
    user_required: bool
    refusal: str | None
    query: tuple[str, ...]
    uuids: frozenset[str]


@dataclass(frozen=True, slots=True)
class PingRule:
    """The sign of life of a stream: its bytes, and when it is due in seconds of the run."""

    frame: bytes
    first_s: float
    every_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The host's hard limits, in the unit that the name says."""

    request_body_bytes: int
    request_line_bytes: int
    header_line_bytes: int
    headers_bytes: int
    upload_image_bytes: int
    upload_file_bytes: int
    url_lifetime_s: float
    run_s: float
    run_steps: int
    user_characters: int


@dataclass(frozen=True)
class HostSpec:
    """Everything that the fake knows of the host which is not deployment."""

    version: str
    operations: tuple[Operation, ...]
    inputs: tuple[InputRule, ...]
    response_modes: tuple[str, ...]
    example: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...]
    ping: PingRule
    limits: Limits
    image_extensions: frozenset[str]
    document_extensions: frozenset[str]
    cors_methods: tuple[str, ...]
    cors_headers: tuple[str, ...]
    app_prefixes: tuple[str, ...]
    proxy_server: str
    errors: HostErrors

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """The path of each operation by its id, with ``{parameters}``."""
        return {one.operation_id: one.path for one in self.operations}
