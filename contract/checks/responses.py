"""The response to a blocking run: its JSON, its fields, and how they go together."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.check import Capability, Claim, Level, add_check, check
from contract.evidence import blocking, blocking_data
from contract.result import NotRun, expect, expect_equal, expect_version
from contract.shape import (
    COUNT,
    OBJECT,
    SECONDS,
    TEXT,
    UNIX_S,
    UUID,
    WHOLE,
    WORDS,
    Kind,
    empty_outputs,
    expect_fields,
    expect_just_now,
    expect_kind,
    expect_kinds,
    expect_times_agree,
    no_error,
    or_null,
    statuses,
)
from contract.target import Target, images_within
from dify_wire.exchange import Exchange
from dify_wire.profile import Profile, profiles

_RESPONSE_FIELDS = ["task_id", "workflow_run_id", "data"]
_DATA_FIELDS = [
    "id", "workflow_id", "status", "outputs", "error",
    "elapsed_time", "total_tokens", "total_steps", "created_at", "finished_at",
]  # fmt: skip
_FILE_FIELDS = (
    *("type", "transfer_method", "url", "related_id", "filename", "extension", "mime_type"),
    "tenant_id",
)
_MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class BlockingRun:
    """The shared blocking run. Properties raise ``NotRun`` where there is nothing to check."""

    target: Target

    @property
    def response(self) -> Exchange:
        return blocking(self.target)

    @property
    def profile(self) -> Profile:
        return self.target.basis.profile

    @property
    def body(self) -> Mapping[str, Any]:
        """The JSON object of the response."""
        body = self.response.json_object()
        if not body:
            raise NotRun("the blocking response is not a JSON object", self.response)
        return body

    @property
    def data(self) -> Mapping[str, Any]:
        return blocking_data(self.target)

    @property
    def has_succeeded(self) -> bool:
        return bool(self.data.get("status") == "succeeded")

    @property
    def outputs(self) -> Mapping[str, Any]:
        outputs = self.data.get("outputs")
        if not self.has_succeeded or not isinstance(outputs, dict):
            raise NotRun("the blocking run has no outputs", self.response)
        return outputs

    @property
    def file(self) -> Mapping[str, Any]:
        """The first image's object."""
        files = images_within(self.outputs)
        if not files:
            raise NotRun("the blocking run has no file", self.response)
        return files[0]

    # Shorter forms of the functions in contract.result and contract.shape, on this response
    # ---------------------------------------------------------------------------------------------

    def expect(self, holds: object, expected: str, got: object, why: str = "") -> None:
        expect(bool(holds), expected, got, self.response, why)

    def expect_version(self, got: object, read: Callable[[Profile], object], what: str) -> None:
        expect_version(got, read, what, self.target.basis, self.response)

    def expect_kind(self, value: object, kind: Kind, what: str) -> None:
        expect_kind(value, kind, what, self.response)


def run_check(
    level: Level, source: str, *needs: Capability, **options: Any
) -> Callable[[Callable[[BlockingRun], None]], Claim]:
    """As ``check``, for a claim about the shared blocking run."""

    def decorate(claim: Callable[[BlockingRun], None]) -> Claim:
        @functools.wraps(claim)
        def run(target: Target) -> None:
            claim(BlockingRun(target))

        return check(level, source, *needs, **options)(run)

    return decorate


# One value compared
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A check of one value. ``expected`` is a kind, a value, or a function that returns either."""

    level: Level
    name: str
    claim: str
    source: str
    what: str
    got: Callable[[BlockingRun], Any]
    expected: Any
    settles: bool = False
    needs: tuple[Capability, ...] = ()

    def run(self, target: Target) -> None:
        run = BlockingRun(target)
        got = self.got(run)
        expected = self.expected(run) if callable(self.expected) else self.expected
        if isinstance(expected, Kind):
            run.expect_kind(got, expected, self.what)
        elif expected == []:
            expect(not got, f"no {self.what}", ", ".join(got), run.response)
        else:
            expect_equal(got, expected, self.what, run.response)


_DOCUMENT, _HOST = Level.DOCUMENT, Level.HOST
_IMAGE = (Capability.IMAGE,)
_DURATION = Kind(
    "seconds, more than 0 and less than a day",
    lambda value: SECONDS.accepts(value) and 0 < value < 86400,
)
_FLOAT = Kind("a float", lambda value: isinstance(value, float))

# fmt: off
_ROWS = [
    _Row(_DOCUMENT, "documents_own_request_gets_200",
         "The document's own curl, with the target's key, gets status 200.",
         "document lines 33-44; openapi.yaml#/paths/~1v1~1workflows~1run/post/responses/200",
         "status", lambda run: run.response.status or run.response.failure, 200, settles=True),
    _Row(_HOST, "blocking_response_is_complete", "The response does not break off before its end.",
         "FACTS 1.4", "failure", lambda run: run.response.failure, None),
    _Row(_DOCUMENT, "blocking_response_is_a_json_object", "The body is one JSON object.",
         "document lines 11-12; openapi.yaml#/components/schemas/RunResponse", "body",
         lambda run: run.response.json_object() or run.response.text[:200], OBJECT, settles=True),
    _Row(_DOCUMENT, "blocking_content_type_is_json",
         "The response says that it is application/json.", "document lines 11-12",
         "media type", lambda run: run.response.media_type, "application/json"),
    _Row(_HOST, "blocking_content_type_is_the_hosts",
         "The content type is the bare application/json, since 1.11 with charset=utf-8.",
         "FACTS 1.3", "content type", lambda run: run.response.header("content-type"),
         lambda run: run.profile.fact("http.run_type")),
    _Row(_HOST, "blocking_json_is_written_in_the_hosts_style",
         r'The JSON text has ", " and ": " between, non-ASCII as \uXXXX, and no key twice.',
         "FACTS 1.7",
         "text", lambda run: run.response.text.strip(), lambda run: json.dumps(run.body)),
    _Row(_HOST, "blocking_json_ends_without_newline",
         "Nothing surrounds the JSON text of a successful response, no newline either.",
         "FACTS 1.7", "first and last byte",
         lambda run: run.body and run.response.body[:1] + run.response.body[-1:], b"{}"),
    _Row(_HOST, "blocking_response_has_no_other_fields",
         "The response has its three fields in the host's order, and nothing else.", "FACTS 4",
         "fields", lambda run: list(run.body), lambda run: _known(_RESPONSE_FIELDS, run.body)),
    _Row(_HOST, "task_id_is_a_uuid", "task_id is a lower-case uuid.",
         "FACTS 4", "task_id", lambda run: run.body.get("task_id"), UUID),
    _Row(_HOST, "workflow_run_id_is_a_uuid", "workflow_run_id is a lower-case uuid.",
         "FACTS 4", "workflow_run_id", lambda run: run.body.get("workflow_run_id"), UUID),
    _Row(_DOCUMENT, "data_id_is_the_run_id", "data.id repeats workflow_run_id.",
         "document lines 47 and 49; FACTS 4",
         "data.id", lambda run: run.data.get("id"), lambda run: run.body.get("workflow_run_id")),
    _Row(_DOCUMENT, "data_has_every_documented_field",
         "data has each field of the document's example.",
         "document lines 48-73; openapi.yaml#/components/schemas/RunData",
         "missing field in data",
         lambda run: [name for name in _DATA_FIELDS if name not in run.data], []),
    _Row(_HOST, "data_has_no_other_fields",
         "data has no other fields: created_by and sequence_number are the stream's.", "FACTS 4",
         "other field in data",
         lambda run: [name for name in run.data if name not in _DATA_FIELDS], []),
    _Row(_HOST, "data_fields_come_in_the_hosts_order",
         "The fields of data come in the order of the document's example.", "FACTS 4",
         "order", lambda run: [name for name in run.data if name in _DATA_FIELDS],
         lambda run: _known(_DATA_FIELDS, run.data)),
    _Row(_HOST, "status_is_succeeded_failed_or_stopped",
         "status is succeeded, failed or stopped, later also partial-succeeded or paused.",
         "FACTS 4", "status",
         lambda run: run.data.get("status"), lambda run: statuses(run.profile, "RunData")),
    _Row(_HOST, "error_is_null_exactly_when_succeeded",
         "A succeeded run has the error null (in 1.4 an empty text), any other says why in words.",
         "document line 67; FACTS 4", "error",
         lambda run: run.data.get("error"),
         lambda run: no_error(run.profile) if run.has_succeeded else WORDS),
    _Row(_HOST, "outputs_are_empty_unless_succeeded",
         "A succeeded run has an object as outputs, or none where its End node selects nothing.",
         "document line 52; FACTS 4", "outputs", lambda run: run.data.get("outputs", ""),
         lambda run: or_null(OBJECT) if run.has_succeeded else empty_outputs(run.profile)),
    _Row(_DOCUMENT, "elapsed_time_is_a_duration",
         "elapsed_time is a number of seconds, more than none and less than a day.",
         "document line 68; FACTS 4",
         "elapsed_time", lambda run: run.data.get("elapsed_time"), _DURATION),
    _Row(_HOST, "elapsed_time_is_a_float",
         "elapsed_time is never a whole number, which a client would read as an integer.",
         "FACTS 4", "elapsed_time", lambda run: run.data.get("elapsed_time"), _FLOAT),
    _Row(_DOCUMENT, "total_tokens_is_a_whole_number",
         "total_tokens is a whole number, 0 for a graph without a language model.",
         "document line 69; FACTS 4",
         "total_tokens", lambda run: run.data.get("total_tokens"), WHOLE),
    _Row(_DOCUMENT, "total_steps_is_a_whole_number",
         "total_steps is a whole number, and a run that succeeded took one step at least.",
         "document line 70; FACTS 4", "total_steps", lambda run: run.data.get("total_steps"),
         lambda run: COUNT if run.has_succeeded else WHOLE),
    _Row(_DOCUMENT, "created_at_is_in_unix_seconds",
         "created_at is a whole number of seconds since 1970.",
         "document line 71; FACTS 4", "created_at", lambda run: run.data.get("created_at"), UNIX_S),
    _Row(_DOCUMENT, "finished_at_is_in_unix_seconds",
         "finished_at is a whole number of seconds since 1970.", "document line 72; FACTS 4",
         "finished_at", lambda run: run.data.get("finished_at"), UNIX_S),
    _Row(_HOST, "run_makes_one_image",
         "outputs.files has exactly one file, however many the image tool made.", "FACTS 4",
         "number of files", lambda run: run.file and len(run.outputs["files"]), 1,
         needs=(Capability.DOCUMENT_APP,)),
    _Row(_HOST, "tenant_id_is_a_uuid",
         "tenant_id is a lower-case uuid; the file object of 1.14 has none.",
         "document line 56; FACTS 4", "tenant_id", lambda run: run.file.get("tenant_id"),
         lambda run: UUID if "tenant_id" in run.profile.fields("File") else None, needs=_IMAGE),
    _Row(_DOCUMENT, "file_type_is_image", "The file's type is image.",
         "document line 57; FACTS 4", "type", lambda run: run.file.get("type"), "image",
         needs=_IMAGE),
    _Row(_DOCUMENT, "transfer_method_is_tool_file", "The file's transfer_method is tool_file.",
         "document line 58; FACTS 4", "transfer_method",
         lambda run: run.file.get("transfer_method"), "tool_file", needs=_IMAGE),
    _Row(_DOCUMENT, "extension_is_the_one_in_the_url",
         "extension begins with its dot, and is the one in the url.",
         "document lines 59 and 62; FACTS 4", "extension", lambda run: run.file.get("extension"),
         lambda run: f".{str(run.file.get('url')).partition('?')[0].rpartition('.')[2]}",
         needs=_IMAGE),
    _Row(_DOCUMENT, "mime_type_belongs_to_the_extension",
         "mime_type is the one that belongs to extension.",
         "document lines 62-63; FACTS 4", "mime_type", lambda run: run.file.get("mime_type"),
         lambda run: _MIME_TYPES.get(str(run.file.get("extension"))), needs=_IMAGE),
]
# fmt: on


def _known(names: list[str], found: Mapping[str, Any]) -> list[str]:
    return [name for name in names if name in found]


for _row in _ROWS:
    add_check(
        _row.name,
        _row.claim,
        _row.level,
        _row.source,
        _row.run,
        area="responses",
        settles=_row.settles,
        needs=_row.needs,
    )


# More than one value
# -------------------------------------------------------------------------------------------------


@run_check(Level.DOCUMENT, "document lines 45-48; openapi.yaml#/components/schemas/RunResponse")
def blocking_response_has_task_run_and_data(run: BlockingRun) -> None:
    """The response has task_id, workflow_run_id and, in an object, data."""
    missing = [name for name in _RESPONSE_FIELDS if name not in run.body]
    run.expect(not missing, "task_id, workflow_run_id and data", f"without {missing}")
    run.expect_kind(run.body["data"], OBJECT, "data")


@run_check(Level.DOCUMENT, "document lines 46-47; FACTS 4")
def task_and_run_have_ids_of_their_own(run: BlockingRun) -> None:
    """task_id is not the run's id, nor the workflow's."""
    task_id = run.body.get("task_id")
    others = run.data.get("id"), run.data.get("workflow_id")
    run.expect(task_id not in others, "an id of its own", task_id)


@run_check(Level.HOST, "FACTS 4")
def workflow_id_is_a_uuid(run: BlockingRun) -> None:
    """workflow_id is a lower-case uuid, and not the run's own."""
    workflow_id = run.data.get("workflow_id")
    run.expect_kind(workflow_id, UUID, "workflow_id")
    run.expect(workflow_id != run.data.get("id"), "another id than the run's", workflow_id)


@run_check(Level.DOCUMENT, "document line 51")
def documents_own_request_succeeds(run: BlockingRun) -> None:
    """The run of the document's own request ends as succeeded."""
    why = f"error: {run.data.get('error')}"
    expect_equal(run.data.get("status"), "succeeded", "status", run.response, why)


@run_check(Level.HOST, "FACTS 4")
def times_of_the_run_agree(run: BlockingRun) -> None:
    """finished_at - created_at is elapsed_time, within what the host's rounding makes of it."""
    expect_times_agree(run.data, "the run", run.target.basis, run.response)


@run_check(Level.HOST, "FACTS 4")
def run_finished_just_now(run: BlockingRun) -> None:
    """finished_at is the time at which the response came, by the host's own clock or by ours."""
    expect_just_now(run.data.get("finished_at"), run.response)


@run_check(
    Level.DOCUMENT,
    "document lines 52-65; openapi.yaml#/components/schemas/RunData",
    Capability.DOCUMENT_APP,
)
def outputs_have_an_image(run: BlockingRun) -> None:
    """outputs.files of a succeeded run is an array with a file object in it."""
    if not run.has_succeeded:
        raise NotRun("the blocking run did not succeed", run.response)
    outputs = run.data.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else outputs
    has_files = isinstance(files, list) and files and all(isinstance(file, dict) for file in files)
    why = "a host whose image tool failed sends an empty array" if files == [] else ""
    run.expect(has_files, "outputs.files with a file object", files, why)


@run_check(Level.VERSION, "document lines 54-64; FACTS 4 and 9.1", Capability.IMAGE)
def file_has_the_fields_of_the_host(run: BlockingRun) -> None:
    """The file object has the document's fields, in the host's order, and no other."""
    expect_fields(run.file, "File", "the file", run.target.basis, run.response)


@run_check(Level.VERSION, "document line 55; FACTS 4 and 9.1", Capability.IMAGE)
def file_is_marked_as_a_file(run: BlockingRun) -> None:
    """__variant is FileVar; later versions have dify_model_identity __dify__file__ instead."""
    names = {name for profile in profiles().values() for name in profile.fact("files.mark")}
    marks = {name: value for name, value in run.file.items() if name in names}
    run.expect_version(marks, lambda profile: profile.fact("files.mark"), "mark")


@run_check(Level.DOCUMENT, "document lines 59-60; FACTS 4", Capability.IMAGE)
def related_id_is_the_id_in_the_url(run: BlockingRun) -> None:
    """related_id is a uuid, and the same as in the url."""
    file = run.file
    run.expect_kind(file.get("related_id"), UUID, "related_id")
    in_url = str(file.get("url")).rpartition("/files/tools/")[2].partition(".")[0]
    expect_equal(file["related_id"], in_url, "related_id", run.response)


@run_check(Level.VERSION, "document line 61; FACTS 4 and 9.1", Capability.IMAGE)
def filename_is_the_hosts(run: BlockingRun) -> None:
    """filename is image up to 0.6; later versions have 32 hexadecimal digits and the extension."""
    filename = str(run.file.get("filename"))

    def named(profile: Profile) -> object:
        pattern = profile.fact("files.name_pattern")
        return filename if re.fullmatch(pattern, filename) else pattern

    run.expect_version(filename, named, "filename")


@run_check(Level.HOST, "document lines 54-64; FACTS 4 and 9.1", Capability.IMAGE)
def file_fields_are_of_their_kinds(run: BlockingRun) -> None:
    """The document's fields of the file object are strings; the size of later versions is in whole
    bytes.
    """
    kinds = {**dict.fromkeys(_FILE_FIELDS, TEXT), "size": COUNT}
    expect_kinds(run.file, kinds, "the file", run.response)
