"""What the fake knows of the host it fakes, as frozen values: routes, inputs, limits, errors.

Annotations are not postponed here: each start reads them all, which takes longer from text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from dify_wire.error_text import ErrorText


class HostError(Exception):
    """A refusal in the host's own words; ``body`` keeps the order of the keys on the wire, and is
    the same for each error of that name where it is ``fixed``.
    """

    def __init__(
        self, name: str, status: int, body: Mapping[str, Any], *, fixed: bool = False
    ) -> None:
        super().__init__(f"{name}: {status}")
        self.name = name
        self.status = status
        self.body = body
        self.fixed = fixed


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
        return HostError(name, template.status, template.body, fixed=True)

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


class InputRule(NamedTuple):
    """What the spec says of one input of the default app."""

    name: str
    required: bool
    options: tuple[str, ...] | None


class QueryParameter(NamedTuple):
    """A parameter of an operation's query. ``type``: string, integer or boolean."""

    name: str
    required: bool
    type: str
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One operation of the spec. ``user_in`` says where the host looks for the user: query, json,
    form or nowhere.

    ``query`` are the parameters of the query, in the order in which the host reads them. Where the
    host reads them as an object of ``query_model``, it names all that are wrong at once.
    ``uuids`` are the parameters of the path that only a UUID matches. ``page`` marks a view beside
    the API: its errors are Flask's pages.
    """

    operation_id: str
    method: str
    path: str
    user_in: str | None
    user_required: bool
    refusal: str | None
    query: tuple[QueryParameter, ...]
    query_model: str | None
    uuids: frozenset[str]
    page: bool = False


class PingRule(NamedTuple):
    """The sign of life of a stream: its bytes, and when it is due in seconds of the run; with
    ``at_once`` one more comes before all events.
    """

    frame: bytes
    first_s: float
    every_s: float
    at_once: bool = False


class Limits(NamedTuple):
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


class HttpRules(NamedTuple):
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


class CorsRules(NamedTuple):
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


class RequestRules(NamedTuple):
    """How the request of a run is validated (``x-host.request``).

    ``app_errors`` names the error of an app that is disabled, abnormal, deleted or archived;
    ``falsy_input_error`` that of 0, false or [] as a required text; ``empty_input_error`` that of
    an empty required text, which is accepted where it is None.

    ``body_check``: how the fields of the body are checked: each is converted and the first wrong
    one named (``conversion``), or all at once by a pydantic model (``model``). ``pydantic`` is the
    version of pydantic that its texts name.
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
    pydantic: str
    variable_types: tuple[str, ...]
    defaults: str
    numbers: str
    empty_file_is_null: bool
    objects_in_lists: bool
    silence_s: float
    active_runs: str


class InputFileRules(NamedTuple):
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


class RunRules(NamedTuple):
    """How a run goes (``x-host.run``).

    ``stop_error`` is the error text of a stopped run; ``stopped_by`` who can stop one: ``owner``
    (the user and app that started it) or ``anyone``. ``no_error`` is the error of a run that has
    none, ``empty_error`` that of one whose error has no text; ``empty_outputs`` the outputs of one
    that has none: ``null`` or ``object``. Seconds of a run have ``elapsed_digits`` after the point,
    all that a double has where it is None.
    """

    stop_error: str
    stopped_by: str
    no_error: str | None
    empty_error: str
    empty_outputs: str
    elapsed_digits: int | None


class GraphRules(NamedTuple):
    """How a graph is walked (``x-host.graph``).

    ``walk`` is how a run goes from node to node: ``chain``, ``branches`` or ``queue``
    (``runs/walk``), ``gap_s`` the time from one frame to the next where nothing takes time.
    ``node_types`` are the types of nodes that the version knows. ``indexed``: a node's frames count
    the steps and name the node before it. ``inner_steps``: nodes inside of a container are steps of
    the run. ``node_error`` is the error of a run in which a node failed, ``steps_error`` that of
    one with more steps than ``limits.run_steps`` and ``steps_over``.

    ``exceptions`` says which failures of nodes a run counts and outlives: ``none``, those that an
    error strategy ``handled``, or all ``failures``, retried ones too. ``exception_error`` stands in
    place of the node's own error then, ``exception_details`` whether its inputs and process_data
    are known. A retry has an id and an index of its own (``retry_new_id``); its event comes before
    the wait or after it (``retry_after_wait``).

    ``next_after_turn``: iteration_next comes when a turn has ended, not when it begins.
    ``breaks_before_turn``: a loop looks at its conditions before its first turn too.
    ``container_metadata`` are the fields of a container's metadata in their order, by its type;
    ``container_errors`` the errors of containers that cannot run (without ``output_absent`` a turn
    without its output counts as one whose output is null).

    ``missing`` and ``graph_errors`` say how a version reports what is not installed and graphs that
    cannot be built: in a ``text``, and ``when`` it does, or as what (``report``).
    """

    walk: str
    gap_s: float
    node_types: tuple[str, ...]
    indexed: bool
    inner_steps: bool
    node_error: str
    steps_error: str
    steps_over: int
    exceptions: str
    exception_error: str | None
    exception_details: bool
    retry_new_id: bool
    retry_after_wait: bool
    next_after_turn: bool
    breaks_before_turn: bool
    container_metadata: Mapping[str, Sequence[str]]
    container_errors: Mapping[str, str]
    missing: Mapping[str, Mapping[str, str]]
    graph_errors: Mapping[str, Mapping[str, str]]


class NodeRules(NamedTuple):
    """What nodes get and give (``x-host.nodes``), beside the fields of their schemas.

    ``start_values`` are the values of ``sys`` among those of a start node, and ``start_cleans``
    whether it cleans the variables once more. ``references``: a text takes ``strings`` alone, or
    values of every type as ``segments``. ``cases``: an if-else has several, shown as groups;
    ``no_case`` is what it has chosen where none holds; ``short_circuit``: it stops at the first
    condition that decides. ``price`` is a price of nothing; ``failed_prompts``: a failed call of a
    model shows its prompts; ``model_end_chunks`` is how many empty chunks end its text;
    ``surrogate_fault`` names the fault of a lone surrogate, which is the tokenizer's where it is
    None. ``tool_inputs`` of a tool: its ``parameters``, with its ``settings``, or ``all`` as texts;
    ``runtime_error_inputs`` whether an unknown tool has them, and ``runtime_error_info`` whether it
    says what it is, as with ``failed_tool_info`` a tool does that failed. ``no_json`` and
    ``agent_json`` are the ``json`` of a tool and an agent that gave none, ``agent_logs_in_json``
    whether that of an agent holds its log. ``tool_texts`` are the texts of an image tool that draws
    nothing. ``plugins``: providers are plugins. ``template_characters`` is the longest text of a
    template; ``faults`` are the errors of what stands behind a node.
    """

    start_values: tuple[str, ...]
    start_cleans: bool
    references: str
    cases: bool
    no_case: str | None
    short_circuit: bool
    price: str
    failed_prompts: bool
    model_end_chunks: int
    surrogate_fault: str | None
    tool_inputs: str
    runtime_error_inputs: bool
    runtime_error_info: bool
    failed_tool_info: bool
    no_json: tuple[Any, ...]
    agent_json: tuple[Any, ...]
    agent_logs_in_json: bool
    tool_texts: Mapping[str, str]
    plugins: bool
    template_characters: int
    faults: Mapping[str, str]


class StreamRules(NamedTuple):
    """How a stream is written (``x-host.stream``).

    ``json``: ``spaced``, or ``compact`` with raw UTF-8. ``closing_s`` is how long the connection
    stays open after the last event.

    ``text_chunks``: which outputs of End nodes are sent bit by bit: ``none``, ``llm`` (texts of
    models) or ``outputs`` (all of them). ``signed``: how often a file is signed: once for the End
    node's frame and the run's (``run``), once in each frame but for its inputs (``frame``), or
    wherever it stands (``each``).

    ``empty`` says for inputs, process_data, outputs and execution_metadata of a node whether an
    empty one is ``null``, an ``object``, or ``kept`` as the node has it. ``retry_hides_data``:
    whether node_retry has none of these. ``node_digits`` are those of a node's seconds, as
    ``elapsed_digits`` of a run. ``created_at_rounded``: to the nearest second, so half a second
    ahead at times, instead of down. ``iteration_length`` is the name of an iteration's length.
    """

    json: str
    closing_s: float
    text_chunks: str
    signed: str
    empty: Mapping[str, str]
    retry_hides_data: bool
    node_digits: int | None
    created_at_rounded: bool
    iteration_length: str


class FileRules(NamedTuple):
    """Files in responses, and how they are served (``x-host.files``).

    ``mark`` is the field that marks an object as a file; ``name_pattern`` the pattern of an
    image's name; ``content_length`` whether an image is sent with its length; ``disposition`` the
    Content-Disposition for ``as_attachment``, if it is known. ``preview_type`` is the Content-Type
    of every uploaded file that is fetched, None for its own; with it HTML is always an attachment.

    Of an upload: ``program_error`` names the error for a program and any other extension that is
    not listed, and ``nameless_error`` that for an empty name; they are accepted where it is None.
    ``dotless_extension``: a name without a dot is its own extension, else it has none;
    ``lower_extension``: it is kept in lower case. A longer name than ``longest_name`` is cut.
    ``upload_sign_quoted``: the URL that is handed out ends in %3D. ``upload_url``
    is the path of that URL, its last part what the signature is for; ``upload_remote_url`` what
    stands as remote_url of an upload in a run: ``null``, ``signed`` (the URL once more) or
    ``empty``.
    """

    mark: Mapping[str, str]
    name_pattern: str
    content_length: bool
    disposition: str | None
    preview_type: str | None
    program_error: str | None
    nameless_error: str | None
    dotless_extension: bool
    lower_extension: bool
    forbidden_characters: str
    longest_name: int | None
    upload_sign_quoted: bool
    upload_url: str
    upload_remote_url: str


class AppRules(NamedTuple):
    """What the host says of an app (``x-host.app``).

    ``features`` are those of an app that has none of its own; ``system_parameters`` stand beside
    them, and their sizes in megabytes hold for uploads. ``converts_image_upload``: a switch for
    images is shown as one for files. ``features_order`` and ``form_order`` are the keys of
    features and of start variables in the order of the host, which an export loses.
    ``description_error`` names the error of GET /v1/swagger.json, if it has one.
    """

    features: Mapping[str, Any]
    system_parameters: Mapping[str, Any]
    converts_image_upload: bool
    features_order: tuple[str, ...]
    form_order: tuple[str, ...]
    description_error: str | None


class RecordRules(NamedTuple):
    """What the host keeps of a run (``x-host.records``).

    ``absent_error`` names the error for a run that is not there; where it is None, every field is
    null, and the counts are ``absent_count``. ``any_app``: the key of any app shows a run.
    ``outputs``: ``text`` (JSON as a string, null without any) or ``object`` ({} without any);
    ``begun_outputs`` are those of a run that has not ended. ``times``: ``unix`` or ``date``.
    ``system_inputs`` are the system variables among the inputs, in their order.

    ``after_stop`` is the status that a record has after a stop. ``left_stream``: whether a run
    ``finishes`` whose client left its stream, or its record says ``running`` for ever.
    ``logged_at_start``: a run is in the logs when it begins, else when it ends.
    ``end_user_type`` is that of the users in the logs.
    """

    absent_error: str | None
    absent_count: int | None
    any_app: bool
    outputs: str
    begun_outputs: str | None
    times: str
    system_inputs: tuple[str, ...]
    after_stop: str
    left_stream: str
    logged_at_start: bool
    end_user_type: str


class EventFields(NamedTuple):
    """The names of the fields of an event's frame, and of its ``data``, in their order."""

    frame: tuple[str, ...]
    data: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
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
    upload_extensions: Mapping[str, frozenset[str]]
    """The extensions of each kind of file: image, document, video, audio."""
    cors: CorsRules
    app_prefixes: tuple[str, ...]
    proxy_server: str
    errors: HostErrors
    http: HttpRules
    request: RequestRules
    input_files: InputFileRules
    run: RunRules
    graph: GraphRules
    nodes: NodeRules
    stream: StreamRules
    files: FileRules
    app: AppRules
    records: RecordRules
    fields: Mapping[str, tuple[str, ...]]
    """The fields that each object of a schema has, in their order on the wire, by its name."""
    events: Mapping[str, EventFields]
    """The events that this version sends, by name."""
    dsl_version: str
    """The newest version of the export format that this version imports."""

    @property
    def image_extensions(self) -> frozenset[str]:
        return self.upload_extensions["image"]

    def upload_kind(self, extension: str) -> str | None:
        """The kind of file with that extension; None where the host knows none."""
        extension = extension.lower()
        kinds = self.upload_extensions.items()
        return next((kind for kind, extensions in kinds if extension in extensions), None)

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """The path of each operation by its id, with ``{parameters}``."""
        return {one.operation_id: one.path for one in self.operations}
