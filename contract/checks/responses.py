"""The response to a blocking run: its JSON, its fields, and how they go together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from contract.check import Level, add_check, check
from contract.evidence import blocking, blocking_data
from contract.result import NotRun, by_version, expect, expect_equal, expect_version
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
    among,
    expect_kind,
    expect_kinds,
    or_null,
)
from contract.target import Target
from dify_wire.exchange import Exchange
from dify_wire.profile import REFERENCE_VERSION, profiles

_RESPONSE_FIELDS = ["task_id", "workflow_run_id", "data"]
_DATA_FIELDS = [
    "id", "workflow_id", "status", "outputs", "error",
    "elapsed_time", "total_tokens", "total_steps", "created_at", "finished_at",
]  # fmt: skip
_MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_CLOCK_TOLERANCE_S = 60.0
"""Enough for two clocks that nobody compares; frozen responses are off by days."""

_STORED_LATE_S, _STORED_EARLY_S, _BOTH_CUT_S = -1.5, 0.5, 1.05
"""Between which limits finished_at - created_at - elapsed_time lies (FACTS 4): the database rounds
created_at, the host cuts finished_at. Versions that cut both (FACTS 9.1) can have up to a
second."""


def _response(target: Target) -> Mapping[str, Any]:
    """The blocking response as an object. Raises ``NotRun`` where there is none."""
    found = blocking(target).json_object()
    if not found:
        raise NotRun("there is no blocking response to check", blocking(target))
    return found


def _outputs(target: Target) -> Mapping[str, Any]:
    data = blocking_data(target)
    outputs = data.get("outputs")
    if data.get("status") != "succeeded" or not isinstance(outputs, dict):
        raise NotRun("the blocking run has no outputs to check", blocking(target))
    return outputs


def _file(target: Target) -> Mapping[str, Any]:
    """The first file object of the blocking response. Raises ``NotRun`` where there is none."""
    files = _outputs(target).get("files")
    if not isinstance(files, list) or not files or not isinstance(files[0], dict):
        raise NotRun("the blocking run has no file to check", blocking(target))
    return files[0]


# Fields of one kind
# -------------------------------------------------------------------------------------------------


_Field = tuple[Callable[[Target], Mapping[str, Any]], str, Kind]


def _field_check(level: Level, name: str, claim: str, source: str, field: _Field) -> None:
    """Register the check that a field of an object is of one kind."""
    read, key, kind = field

    def run(target: Target) -> None:
        expect_kind(read(target).get(key), kind, key, blocking(target))

    add_check(name, claim, level, source, run)


# fmt: off
_field_check(Level.HOST, "task_id_is_a_uuid", "task_id is a lower-case uuid.",
             "FACTS 4", (_response, "task_id", UUID))
_field_check(Level.HOST, "workflow_run_id_is_a_uuid", "workflow_run_id is a lower-case uuid.",
             "FACTS 4", (_response, "workflow_run_id", UUID))
_field_check(Level.HOST, "status_is_succeeded_failed_or_stopped",
             "status is succeeded, failed or stopped.",
             "FACTS 4", (blocking_data, "status", among("succeeded", "failed", "stopped")))
_field_check(Level.DOCUMENT, "total_tokens_is_a_whole_number",
             "total_tokens is a whole number, 0 for a graph without a language model.",
             "document line 69; FACTS 4", (blocking_data, "total_tokens", WHOLE))
_field_check(Level.DOCUMENT, "created_at_is_in_unix_seconds",
             "created_at is a whole number of seconds since 1970.",
             "document line 71; FACTS 4", (blocking_data, "created_at", UNIX_S))
_field_check(Level.DOCUMENT, "finished_at_is_in_unix_seconds",
             "finished_at is a whole number of seconds since 1970.",
             "document line 72; FACTS 4", (blocking_data, "finished_at", UNIX_S))
_field_check(Level.HOST, "tenant_id_is_a_uuid", "tenant_id is a lower-case uuid.",
             "document line 56; FACTS 4", (_file, "tenant_id", UUID))
_field_check(Level.DOCUMENT, "file_type_is_image", "The file's type is image.",
             "document line 57; FACTS 4", (_file, "type", among("image")))
_field_check(Level.DOCUMENT, "transfer_method_is_tool_file",
             "The file's transfer_method is tool_file.",
             "document line 58; FACTS 4", (_file, "transfer_method", among("tool_file")))
# fmt: on


# The response
# -------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT,
    "document lines 33-44; openapi.yaml#/paths/~1v1~1workflows~1run/post/responses/200",
    settles=True,
)
def documents_own_request_gets_200(target: Target) -> None:
    """The document's own curl, with the target's key, gets status 200."""
    response = blocking(target)
    got = response.status or f"no response: {response.failure}"
    expect(response.status == 200, "status 200", got, response)


@check(Level.HOST, "FACTS 1.4")
def blocking_response_is_complete(target: Target) -> None:
    """The blocking response does not break off before its end."""
    response = blocking(target)
    expect(response.failure is None, "a complete response", response.failure, response)


@check(
    Level.DOCUMENT,
    "document lines 11-12; openapi.yaml#/components/schemas/RunResponse",
    settles=True,
)
def blocking_response_is_a_json_object(target: Target) -> None:
    """The body of the blocking response is one JSON object."""
    response = blocking(target)
    got = response.text[:200] or "an empty body"
    expect(bool(response.json_object()), "a JSON object", got, response)


@check(Level.DOCUMENT, "document lines 11-12")
def blocking_content_type_is_json(target: Target) -> None:
    """The blocking response says that it is application/json."""
    response = blocking(target)
    expect_equal(response.media_type, "application/json", "media type", response)


@check(Level.HOST, "FACTS 1.3")
def blocking_content_type_has_no_charset(target: Target) -> None:
    """The content type of the blocking response is the bare application/json."""
    response = blocking(target)
    expect_equal(response.header("content-type"), "application/json", "content type", response)


@check(Level.HOST, "FACTS 1.7")
def blocking_json_is_written_in_the_hosts_style(target: Target) -> None:
    r"""The JSON text is the host's to the byte: ", " and ": " between, non-ASCII as \uXXXX, no key
    twice."""
    response = blocking(target)
    expected = json.dumps(_response(target))
    got = response.text.strip()
    expect(got == expected, f"the text {expected[:80]}…", got[:120], response)


@check(Level.HOST, "FACTS 1.7")
def blocking_json_ends_without_newline(target: Target) -> None:
    """Nothing surrounds the JSON text of a successful response, no newline either."""
    _response(target)
    body = blocking(target).body
    expect_equal((body[:1], body[-1:]), (b"{", b"}"), "first and last byte", blocking(target))


@check(Level.DOCUMENT, "document lines 45-48; openapi.yaml#/components/schemas/RunResponse")
def blocking_response_has_task_run_and_data(target: Target) -> None:
    """The response has task_id, workflow_run_id and, in an object, data."""
    got = _response(target)
    missing = [name for name in _RESPONSE_FIELDS if name not in got]
    expect(not missing, "task_id, workflow_run_id and data", f"without {missing}", blocking(target))
    expect_kind(got["data"], OBJECT, "data", blocking(target))


@check(Level.HOST, "FACTS 4")
def blocking_response_has_no_other_fields(target: Target) -> None:
    """The response has its three fields in the host's order, and nothing else."""
    got = list(_response(target))
    expected = [name for name in _RESPONSE_FIELDS if name in got]
    expect_equal(got, expected, "fields", blocking(target))


@check(Level.DOCUMENT, "document lines 47 and 49; FACTS 4")
def data_id_is_the_run_id(target: Target) -> None:
    """data.id repeats workflow_run_id."""
    run_id = _response(target).get("workflow_run_id")
    expect_equal(blocking_data(target).get("id"), run_id, "data.id", blocking(target))


@check(Level.DOCUMENT, "document lines 46-47; FACTS 4")
def task_and_run_have_ids_of_their_own(target: Target) -> None:
    """task_id is not the run's id, nor the workflow's."""
    task_id, data = _response(target).get("task_id"), blocking_data(target)
    is_own = task_id not in (data.get("id"), data.get("workflow_id"))
    expect(is_own, "an id of its own", task_id, blocking(target))


# The run's data
# -------------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 48-73; openapi.yaml#/components/schemas/RunData")
def data_has_every_documented_field(target: Target) -> None:
    """data has each field of the document's example."""
    data = blocking_data(target)
    missing = [name for name in _DATA_FIELDS if name not in data]
    expected = f"data with {', '.join(_DATA_FIELDS)}"
    expect(not missing, expected, f"without {missing}", blocking(target))


@check(Level.HOST, "FACTS 4")
def data_has_no_other_fields(target: Target) -> None:
    """data has only the fields of the document's example: created_by and sequence_number are the
    stream's.
    """
    more = [name for name in blocking_data(target) if name not in _DATA_FIELDS]
    expect(not more, "no other field in data", more, blocking(target))


@check(Level.HOST, "FACTS 4")
def data_fields_come_in_the_hosts_order(target: Target) -> None:
    """The fields of data come in the order of the document's example."""
    got = [name for name in blocking_data(target) if name in _DATA_FIELDS]
    expect_equal(got, [name for name in _DATA_FIELDS if name in got], "order", blocking(target))


@check(Level.HOST, "FACTS 4")
def workflow_id_is_a_uuid(target: Target) -> None:
    """workflow_id is a lower-case uuid, and not the run's own."""
    data = blocking_data(target)
    workflow_id = data.get("workflow_id")
    expect_kind(workflow_id, UUID, "workflow_id", blocking(target))
    is_other = workflow_id != data.get("id")
    expect(is_other, "another id than the run's", workflow_id, blocking(target))


@check(Level.DOCUMENT, "document line 51")
def documents_own_request_succeeds(target: Target) -> None:
    """The run of the document's own request ends as succeeded."""
    data = blocking_data(target)
    why = f"error: {data.get('error')}"
    expect_equal(data.get("status"), "succeeded", "status", blocking(target), why)


@check(Level.HOST, "document line 67; FACTS 4")
def error_is_null_exactly_when_succeeded(target: Target) -> None:
    """A succeeded run has the error null, any other says why in words."""
    data = blocking_data(target)
    if data.get("status") == "succeeded":
        expect(data.get("error") is None, "error null", data.get("error"), blocking(target))
    else:
        expect_kind(data.get("error"), WORDS, "error", blocking(target))


@check(Level.HOST, "document line 52; FACTS 4")
def outputs_are_null_unless_succeeded(target: Target) -> None:
    """A succeeded run has an object as outputs (null where its End node selects nothing), any other
    has null.
    """
    outputs = blocking_data(target).get("outputs", "")
    if blocking_data(target).get("status") == "succeeded":
        expect_kind(outputs, or_null(OBJECT), "outputs", blocking(target))
    else:
        expect(outputs is None, "outputs null", outputs, blocking(target))


@check(Level.DOCUMENT, "document line 68; FACTS 4")
def elapsed_time_is_a_duration(target: Target) -> None:
    """elapsed_time is a number of seconds, more than none and less than a day."""
    elapsed = blocking_data(target).get("elapsed_time")
    expect_kind(elapsed, SECONDS, "elapsed_time", blocking(target))
    is_duration = 0 < float(str(elapsed)) < 86400
    expect(is_duration, "more than 0 and less than a day", elapsed, blocking(target))


@check(Level.HOST, "FACTS 4")
def elapsed_time_is_a_float(target: Target) -> None:
    """elapsed_time is a float, never a whole number that a client would read as an integer."""
    elapsed = blocking_data(target).get("elapsed_time")
    expect(isinstance(elapsed, float), "a float as elapsed_time", repr(elapsed), blocking(target))


@check(Level.DOCUMENT, "document line 70; FACTS 4")
def total_steps_is_a_whole_number(target: Target) -> None:
    """total_steps is a whole number, and a run that succeeded took one step at least."""
    data = blocking_data(target)
    kind = COUNT if data.get("status") == "succeeded" else WHOLE
    expect_kind(data.get("total_steps"), kind, "total_steps", blocking(target))


@check(Level.HOST, "FACTS 4")
def times_of_the_run_agree(target: Target) -> None:
    """finished_at - created_at is elapsed_time, within what the host's rounding makes of it."""
    is_later = "dify_model_identity" in json.dumps(blocking_data(target).get("outputs"))
    level = Level.VERSION if is_later else Level.HOST
    expect_times_agree(blocking_data(target), "the run", blocking(target), level)


def expect_times_agree(
    data: Mapping[str, Any], what: str, exchange: Exchange, level: Level
) -> None:
    """Raise ``Failed`` unless created_at, finished_at and elapsed_time fit; shared with the
    stream's checks.

    ``level`` is that of a host which cuts created_at where the reference rounds it.
    """
    times = [data.get(name) for name in ("finished_at", "created_at", "elapsed_time")]
    numbers = [float(value) for value in times if isinstance(value, int | float)]
    if len(numbers) < len(times):
        raise NotRun(f"{what} has no times to compare", exchange)
    off = numbers[0] - numbers[1] - numbers[2]
    limits = f"between {_STORED_LATE_S} and {_STORED_EARLY_S}"
    expected = f"finished_at - created_at - elapsed_time of {what} {limits}"
    level = level if _STORED_EARLY_S <= off < _BOTH_CUT_S else Level.HOST
    expect(_STORED_LATE_S < off < _STORED_EARLY_S, expected, f"{off:.3f}", exchange, level=level)


@check(Level.HOST, "FACTS 4")
def run_finished_just_now(target: Target) -> None:
    """finished_at is the time at which the response came, by the host's own clock or by ours."""
    expect_just_now(blocking_data(target).get("finished_at"), blocking(target))


def expect_just_now(finished_at: object, exchange: Exchange) -> None:
    """Raise ``Failed`` unless the run ended when its response did; shared with the stream's
    checks.
    """
    if type(finished_at) is not int:
        raise NotRun("the run has no finished_at", exchange)
    ends = [exchange.sent_at + exchange.seconds]
    date = exchange.header("date")
    if date:
        try:  # the Date is of the response's first byte
            first_s = exchange.chunks[0].at_s if exchange.chunks else 0.0
            ends.append(parsedate_to_datetime(date).timestamp() + exchange.seconds - first_s)
        except ValueError:
            pass
    off_s = min(abs(finished_at - end) for end in ends)
    expected = f"finished_at within {_CLOCK_TOLERANCE_S:g} s of the response"
    expect(off_s <= _CLOCK_TOLERANCE_S, expected, f"{off_s:.0f} s away", exchange)


# The image's file object
# -------------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 52-65; openapi.yaml#/components/schemas/RunData")
def outputs_have_an_image(target: Target) -> None:
    """outputs.files of a succeeded run is an array with a file object in it."""
    data = blocking_data(target)
    if data.get("status") != "succeeded":
        raise NotRun("the blocking run did not succeed", blocking(target))
    outputs = data.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else outputs
    has_files = isinstance(files, list) and files and all(isinstance(file, dict) for file in files)
    why = "a host whose image tool failed sends an empty array" if files == [] else ""
    expect(bool(has_files), "outputs.files with a file object", files, blocking(target), why)


@check(Level.HOST, "FACTS 4")
def run_makes_one_image(target: Target) -> None:
    """outputs.files has exactly one file, however many the image tool made."""
    _file(target)
    expect_equal(len(_outputs(target)["files"]), 1, "number of files", blocking(target))


@check(Level.VERSION, "document lines 54-64; FACTS 4 and 9.1")
def file_has_the_fields_of_the_host(target: Target) -> None:
    """The file object has the document's fields, in the host's order, and no other."""
    of_versions = by_version(lambda profile: list(profile.fields("file")))
    expect_version(list(_file(target)), of_versions, "file fields", blocking(target))


@check(Level.VERSION, "document line 55; FACTS 4 and 9.1")
def file_is_marked_as_a_file(target: Target) -> None:
    """__variant is FileVar; later versions have dify_model_identity __dify__file__ instead."""
    names = {name for profile in profiles().values() for name in profile.facts["file_mark"]}
    marks = {name: value for name, value in _file(target).items() if name in names}
    of_versions = by_version(lambda profile: profile.facts["file_mark"])
    expect_version(marks, of_versions, "mark", blocking(target))


@check(Level.DOCUMENT, "document lines 59-60; FACTS 4")
def related_id_is_the_id_in_the_url(target: Target) -> None:
    """related_id is a uuid, and the same as in the url."""
    file = _file(target)
    expect_kind(file.get("related_id"), UUID, "related_id", blocking(target))
    in_url = str(file.get("url")).rpartition("/files/tools/")[2].partition(".")[0]
    expect_equal(file["related_id"], in_url, "related_id", blocking(target))


@check(Level.DOCUMENT, "document lines 59 and 62; FACTS 4")
def extension_is_the_one_in_the_url(target: Target) -> None:
    """extension begins with its dot, and is the one in the url."""
    in_url = str(_file(target).get("url")).partition("?")[0].rpartition(".")[2]
    expect_equal(_file(target).get("extension"), f".{in_url}", "extension", blocking(target))


@check(Level.DOCUMENT, "document lines 62-63; FACTS 4")
def mime_type_belongs_to_the_extension(target: Target) -> None:
    """mime_type is the one that belongs to extension."""
    file = _file(target)
    expected = _MIME_TYPES.get(str(file.get("extension")))
    expect_equal(file.get("mime_type"), expected, "mime_type", blocking(target))


@check(Level.VERSION, "document line 61; FACTS 4 and 9.1")
def filename_is_image(target: Target) -> None:
    """filename is image; later versions have 32 hexadecimal digits and the extension."""
    filename = _file(target).get("filename")
    # a version's own names are compared by their pattern, on files with that version's mark
    of_versions = {
        version: filename
        for version, profile in profiles().items()
        if profile.facts["file_mark"].items() <= _file(target).items()
        and re.fullmatch(profile.facts["file_name_pattern"], str(filename))
    }
    reference = profiles()[REFERENCE_VERSION].facts["file_name_pattern"]
    expect_version(
        filename, {REFERENCE_VERSION: reference, **of_versions}, "filename", blocking(target)
    )


@check(Level.HOST, "document lines 54-64; FACTS 4 and 9.1")
def file_fields_are_of_their_kinds(target: Target) -> None:
    """The document's fields of the file object are strings; the size of later versions is in whole
    bytes.
    """
    names = profiles()[REFERENCE_VERSION].fields("file")
    expect_kinds(
        _file(target), {**dict.fromkeys(names, TEXT), "size": COUNT}, "the file", blocking(target)
    )
