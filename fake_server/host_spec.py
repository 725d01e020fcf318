"""What the fake knows of the host it fakes, as frozen values: routes, inputs, limits, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dify_wire.error_text import ErrorText


class HostError(Exception):
    """A refusal in the host's own words; ``body`` keeps the order of the keys on the wire."""

    def __init__(self, name: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{name}: {status}")
        self.name = name
        self.status = status
        self.body = body


class HostErrors:
    """Every refusal of the host by name; calling it makes one, ready to raise.

    Raises ``KeyError`` for a name that the overlay does not have: a mistake in this package, which
    ``tests/test_errors.py`` looks for, never one of a request.
    """

    def __init__(self, templates: Mapping[str, ErrorText]) -> None:
        self._templates = templates

    def __call__(self, name: str, **values: object) -> HostError:
        template = self._templates[name]
        if values:
            return HostError(name, template.status, template.filled(**values))
        return HostError(name, template.status, template.body)

    def by_code(self, code: str, status: int) -> Mapping[str, Any] | None:
        """The first body with that code and status whose text has no placeholders."""
        for template in self._templates.values():
            body = template.body
            if (body.get("code"), template.status) == (code, status) and "{" not in str(
                body.get("message")
            ):
                return body
        return None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._templates)


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
    ``uuids`` are the parameters of the path that only a UUID matches. ``page`` marks a view beside
    the API: its errors are Flask's pages.
    """

    operation_id: str
    method: str
    path: str
    user_in: str | None
    user_required: bool
    refusal: str | None
    query: tuple[str, ...]
    uuids: frozenset[str]
    page: bool = False


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


@dataclass(frozen=True, slots=True)
class HttpRules:
    """How any response of the app is written (``x-host.http``).

    ``error_json`` is the style of JSON that is not a run's: ``spaced`` or ``compact``.
    ``www_authenticate`` is the challenge beside a 401, if there is one. ``run_type`` is the
    Content-Type of a blocking response. ``strict_json``: whether bodies are read by the strict
    parser. ``allow_with_405``: whether a 405 of the API names the methods of the path.
    ``not_found_hints``: whether the text of a JSON 404 names routes that resemble the path; among
    them are the ``hinted_routes``, which the fake does not serve.
    """

    error_json: str
    www_authenticate: str | None
    run_type: str
    strict_json: bool
    allow_with_405: bool
    not_found_hints: bool
    hinted_routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CorsRules:
    """What Flask-CORS adds to the responses of the app (``x-host.cors``).

    ``headers`` may be sent by pages of other origins, ``file_headers`` with requests for files.
    ``exposed`` is the value of Access-Control-Expose-Headers, ``private_network`` that of the
    response to a request from a private network.
    """

    methods: tuple[str, ...]
    headers: tuple[str, ...]
    file_headers: tuple[str, ...]
    exposed: str | None
    private_network: str


@dataclass(frozen=True, slots=True)
class RequestRules:
    """How the request of a run is validated (``x-host.request``).

    ``app_errors`` names the error of an app that is disabled, abnormal, deleted or archived;
    ``falsy_input_error`` that of 0, false or [] as a required text; ``empty_input_error`` that of
    an empty required text, which is accepted where it is None.

    ``body_check``: how the fields of the body are checked: each is converted and the first wrong
    one named (``conversion``), or all at once by a pydantic model (``model``).
    ``variable_types`` are the types of start variables that the version knows. ``defaults``: what
    becomes of an optional one that is left out: its default or an empty text (``text``), null
    (``ignored``), or its default or null (``used``). ``numbers``: a number is a text (``text``), a
    text is converted (``converted``), or anything else is refused too (``checked``).
    ``empty_file_is_null``: whether "" for an optional file counts as left out.
    ``objects_in_lists``: whether a list of objects is accepted for a variable of another type.
    ``silence_s``: for how long a stream that files or start variables forbid is silent after a
    ping; where it is 0, the error is the response. ``active_runs``: whether runs of an app count
    against its limit of active requests: ``unlimited``, ``counted``, or ``streams_twice``: a stream
    counts twice when it begins and not at all while it runs.
    """

    app_errors: Mapping[str, str]
    falsy_input_error: str | None
    empty_input_error: str | None
    body_check: str
    variable_types: tuple[str, ...]
    defaults: str
    numbers: str
    empty_file_is_null: bool
    objects_in_lists: bool
    silence_s: float
    active_runs: str


@dataclass(frozen=True, slots=True)
class InputFileRules:
    """Which files a run's request may name (``x-host.input_files``).

    ``form``: images alone, checked field by field (``images``), or files of any kind (``files``);
    the other facts are those of ``files``. ``methods`` are the transfer methods. A file
    ``without_method`` or ``without_url`` in a list is ``refused`` or ``dropped``. ``kinds`` are the
    extensions of each type of file. ``types_checked``: whether a type must be that of the file
    itself; ``upload_methods_checked``: whether the allowed upload methods hold for others than
    images. ``shared``: whether an upload may be named by other users and apps of its workspace.
    ``references``: whether an id may be given as a reference too, and counts as missing where it is
    no text. ``source_urls``: whether an upload keeps the URL that was signed for it then, as the
    ``remote_url`` of its object. ``unreachable_after_s``: how long the host tries an address that
    it cannot reach.
    """

    form: str
    methods: tuple[str, ...]
    without_method: str
    without_url: str
    kinds: Mapping[str, Any]
    types_checked: bool
    upload_methods_checked: bool
    shared: bool
    references: bool
    source_urls: bool
    unreachable_after_s: float


@dataclass(frozen=True, slots=True)
class RunRules:
    """How a run goes (``x-host.run``). ``stop_error`` is the error text of a stopped run."""

    stop_error: str


@dataclass(frozen=True, slots=True)
class StreamRules:
    """How a stream is written (``x-host.stream``). ``json``: ``spaced``, or ``compact`` with raw
    UTF-8.
    """

    json: str


@dataclass(frozen=True, slots=True)
class FileRules:
    """Files in responses, and how they are served (``x-host.files``).

    ``mark`` is the field that marks an object as a file; ``name_pattern`` the pattern of an
    image's name; ``content_length`` whether an image is sent with its length; ``disposition`` the
    Content-Disposition for ``as_attachment``, if it is known; ``program_error`` names the error of
    an uploaded program, which is accepted where it is None.
    """

    mark: Mapping[str, str]
    name_pattern: str
    content_length: bool
    disposition: str | None
    program_error: str | None


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
    cors: CorsRules
    app_prefixes: tuple[str, ...]
    proxy_server: str
    errors: HostErrors
    http: HttpRules
    request: RequestRules
    input_files: InputFileRules
    run: RunRules
    stream: StreamRules
    files: FileRules
    fields: Mapping[str, tuple[str, ...]]
    """The fields that each object of a schema has, in their order on the wire, by its name."""
    events: frozenset[str]
    """The names of the events that this version sends."""
    dsl_version: str
    """The newest version of the export format that this version imports."""

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """The path of each operation by its id, with ``{parameters}``."""
        return {one.operation_id: one.path for one in self.operations}
