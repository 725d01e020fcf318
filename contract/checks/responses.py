"""The answer of a blocking run: its JSON, its fields, and how they go together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from contract.check import Level, check
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
    among,
    expect_kind,
    expect_kinds,
    or_null,
)
from contract.target import Target
from dify_wire.exchange import Exchange

_ANSWER_FIELDS = ["task_id", "workflow_run_id", "data"]
_DATA_FIELDS = [
    "id", "workflow_id", "status", "outputs", "error",
    "elapsed_time", "total_tokens", "total_steps", "created_at", "finished_at",
]  # fmt: skip
_FILE_FIELDS = {
    "0.6.4": [
        "__variant", "tenant_id", "type", "transfer_method", "url", "related_id", "filename", "extension", "mime_type",
    ],
    "0.15.3": [
        "dify_model_identity", "id", "tenant_id", "type", "transfer_method", "remote_url", "related_id", "filename",
        "extension", "mime_type", "size", "url",
    ],
}  # fmt: skip
_STATUSES = ("succeeded", "failed", "stopped")
_LATER_FILENAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]+")
_MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_CLOCK_TOLERANCE_S = 60.0
"""Enough for two clocks that nobody compares; frozen answers are off by days."""

_STORED_LATE_S, _STORED_EARLY_S, _BOTH_CUT_S = -1.5, 0.5, 1.05
"""Between which limits finished_at - created_at - elapsed_time lies (FACTS 4): the database rounds
created_at, the host cuts finished_at. Versions that cut both (FACTS 9.1) can have up to a
second."""


def _answer(target: Target) -> Mapping[str, Any]:
    """The blocking answer as an object. Raises ``NotRun`` where there is none."""
    found = blocking(target).json_object()
    if not found:
        raise NotRun("there is no blocking answer to judge", blocking(target))
    return found


def _outputs(target: Target) -> Mapping[str, Any]:
    data = blocking_data(target)
    outputs = data.get("outputs")
    if data.get("status") != "succeeded" or not isinstance(outputs, dict):
        raise NotRun("the blocking run has no outputs to judge", blocking(target))
    return outputs


def _file(target: Target) -> Mapping[str, Any]:
    """The first file object of the blocking answer. Raises ``NotRun`` where there is none."""
    files = _outputs(target).get("files")
    if not isinstance(files, list) or not files or not isinstance(files[0], dict):
        raise NotRun("the blocking run has no file to judge", blocking(target))
    return files[0]


# The answer
# ----------------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT,
    "document lines 33-44; openapi.yaml#/paths/~1v1~1workflows~1run/post/responses/200",
    settles=True,
)
def documents_own_request_is_answered_200(target: Target) -> None:
    """The document's own curl, with the target's key, is answered with status 200."""
    answer = blocking(target)
    expect(
        answer.status == 200, "status 200", answer.status or f"no answer: {answer.failure}", answer
    )


@check(Level.HOST, "FACTS 1.4")
def blocking_answer_comes_whole(target: Target) -> None:
    """The blocking answer is not broken off before its end."""
    answer = blocking(target)
    expect(answer.failure is None, "a whole answer", answer.failure, answer)


@check(
    Level.DOCUMENT,
    "document lines 11-12; openapi.yaml#/components/schemas/RunResponse",
    settles=True,
)
def blocking_answer_is_a_json_object(target: Target) -> None:
    """The body of the blocking answer is one JSON object."""
    answer = blocking(target)
    expect(
        bool(answer.json_object()), "a JSON object", answer.text[:200] or "an empty body", answer
    )


@check(Level.DOCUMENT, "document lines 11-12")
def blocking_content_type_is_json(target: Target) -> None:
    """The blocking answer says that it is application/json."""
    answer = blocking(target)
    expect_equal(answer.media_type, "application/json", "media type", answer)


@check(Level.HOST, "FACTS 1.3")
def blocking_content_type_has_no_charset(target: Target) -> None:
    """The content type of the blocking answer is the bare application/json."""
    answer = blocking(target)
    expect_equal(answer.header("content-type"), "application/json", "content type", answer)


@check(Level.HOST, "FACTS 1.7")
def blocking_json_is_written_in_the_hosts_style(target: Target) -> None:
    r"""The JSON text is the host's to the byte: ", " and ": " between, non-ASCII as \uXXXX, no key
    twice."""
    answer = blocking(target)
    whole = json.dumps(_answer(target))
    expect(answer.text.strip() == whole, f"the text {whole[:80]}…", answer.text[:120], answer)


@check(Level.HOST, "FACTS 1.7")
def blocking_json_ends_without_newline(target: Target) -> None:
    """Nothing surrounds the JSON text of a successful answer, no newline either."""
    answer = blocking(target)
    _answer(target)
    edges = (answer.body[:1], answer.body[-1:])
    expect_equal(edges, (b"{", b"}"), "first and last byte", answer)


@check(Level.DOCUMENT, "document lines 45-48; openapi.yaml#/components/schemas/RunResponse")
def blocking_answer_names_task_run_and_data(target: Target) -> None:
    """The answer has task_id, workflow_run_id and, in an object, data."""
    answer = _answer(target)
    missing = [name for name in _ANSWER_FIELDS if name not in answer]
    expect(not missing, "task_id, workflow_run_id and data", f"without {missing}", blocking(target))
    expect_kind(answer["data"], OBJECT, "data", blocking(target))


@check(Level.HOST, "FACTS 4")
def blocking_answer_has_no_other_fields(target: Target) -> None:
    """The answer has its three fields in the host's order, and nothing else."""
    got = list(_answer(target))
    expected = [name for name in _ANSWER_FIELDS if name in got]
    expect_equal(got, expected, "fields", blocking(target))


@check(Level.HOST, "FACTS 4")
def task_id_is_a_uuid(target: Target) -> None:
    """task_id is a lower-case uuid."""
    expect_kind(_answer(target).get("task_id"), UUID, "task_id", blocking(target))


@check(Level.HOST, "FACTS 4")
def workflow_run_id_is_a_uuid(target: Target) -> None:
    """workflow_run_id is a lower-case uuid."""
    expect_kind(_answer(target).get("workflow_run_id"), UUID, "workflow_run_id", blocking(target))


@check(Level.DOCUMENT, "document lines 47 and 49; FACTS 4")
def data_id_is_the_run_id(target: Target) -> None:
    """data.id repeats workflow_run_id."""
    expect_equal(
        blocking_data(target).get("id"),
        _answer(target).get("workflow_run_id"),
        "data.id",
        blocking(target),
    )


@check(Level.DOCUMENT, "document lines 46-47; FACTS 4")
def task_and_run_have_ids_of_their_own(target: Target) -> None:
    """task_id is not the run's id, nor the workflow's."""
    task_id, data = _answer(target).get("task_id"), blocking_data(target)
    expect(
        task_id not in (data.get("id"), data.get("workflow_id")),
        "an id of its own",
        task_id,
        blocking(target),
    )


# The run's data
# ------------------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 48-73; openapi.yaml#/components/schemas/RunData")
def data_has_every_documented_field(target: Target) -> None:
    """data has each field of the document's example."""
    data = blocking_data(target)
    missing = [name for name in _DATA_FIELDS if name not in data]
    expect(
        not missing, f"data with {', '.join(_DATA_FIELDS)}", f"without {missing}", blocking(target)
    )


@check(Level.HOST, "FACTS 4")
def data_has_no_other_fields(target: Target) -> None:
    """data has no field that the document's example lacks: created_by and sequence_number are the
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
    expect_kind(data.get("workflow_id"), UUID, "workflow_id", blocking(target))
    expect(
        data["workflow_id"] != data.get("id"),
        "another id than the run's",
        data["workflow_id"],
        blocking(target),
    )


@check(Level.HOST, "FACTS 4")
def status_is_a_word_of_the_host(target: Target) -> None:
    """status is succeeded, failed or stopped."""
    expect_kind(blocking_data(target).get("status"), among(*_STATUSES), "status", blocking(target))


@check(Level.DOCUMENT, "document line 51")
def documents_own_request_succeeds(target: Target) -> None:
    """The run of the document's own request ends as succeeded."""
    data = blocking_data(target)
    expect_equal(
        data.get("status"),
        "succeeded",
        "status",
        blocking(target),
        why=f"error: {data.get('error')}",
    )


@check(Level.HOST, "document line 67; FACTS 4")
def error_is_null_exactly_when_succeeded(target: Target) -> None:
    """A succeeded run has the error null, any other tells why in words."""
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
    data = blocking_data(target)
    if data.get("status") == "succeeded":
        expect_kind(data.get("outputs", ""), or_null(OBJECT), "outputs", blocking(target))
    else:
        expect(
            data.get("outputs", "") is None, "outputs null", data.get("outputs"), blocking(target)
        )


@check(Level.DOCUMENT, "document line 68; FACTS 4")
def elapsed_time_is_a_duration(target: Target) -> None:
    """elapsed_time is a number of seconds, more than none and less than a day."""
    elapsed = blocking_data(target).get("elapsed_time")
    expect_kind(elapsed, SECONDS, "elapsed_time", blocking(target))
    expect(
        0 < float(str(elapsed)) < 86400,
        "more than 0 and less than a day",
        elapsed,
        blocking(target),
    )


@check(Level.HOST, "FACTS 4")
def elapsed_time_is_written_with_a_point(target: Target) -> None:
    """elapsed_time is a float, never a whole number that a client would read as an integer."""
    elapsed = blocking_data(target).get("elapsed_time")
    expect(isinstance(elapsed, float), "a float as elapsed_time", repr(elapsed), blocking(target))


@check(Level.DOCUMENT, "document line 69; FACTS 4")
def total_tokens_is_a_whole_number(target: Target) -> None:
    """total_tokens is a whole number, 0 for a graph without a language model."""
    expect_kind(blocking_data(target).get("total_tokens"), WHOLE, "total_tokens", blocking(target))


@check(Level.DOCUMENT, "document line 70; FACTS 4")
def total_steps_is_a_whole_number(target: Target) -> None:
    """total_steps is a whole number, and a run that succeeded took one step at least."""
    data = blocking_data(target)
    kind = COUNT if data.get("status") == "succeeded" else WHOLE
    expect_kind(data.get("total_steps"), kind, "total_steps", blocking(target))


@check(Level.DOCUMENT, "document line 71; FACTS 4")
def created_at_is_in_unix_seconds(target: Target) -> None:
    """created_at is a whole number of seconds since 1970."""
    expect_kind(blocking_data(target).get("created_at"), UNIX_S, "created_at", blocking(target))


@check(Level.DOCUMENT, "document line 72; FACTS 4")
def finished_at_is_in_unix_seconds(target: Target) -> None:
    """finished_at is a whole number of seconds since 1970."""
    expect_kind(blocking_data(target).get("finished_at"), UNIX_S, "finished_at", blocking(target))


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
    expected = f"finished_at - created_at - elapsed_time of {what} between {_STORED_LATE_S} and {_STORED_EARLY_S}"
    level = level if _STORED_EARLY_S <= off < _BOTH_CUT_S else Level.HOST
    expect(_STORED_LATE_S < off < _STORED_EARLY_S, expected, f"{off:.3f}", exchange, level=level)


@check(Level.HOST, "FACTS 4")
def run_finished_just_now(target: Target) -> None:
    """finished_at is the time at which the answer came, by the host's own clock or by ours."""
    expect_just_now(blocking_data(target).get("finished_at"), blocking(target))


def expect_just_now(finished_at: object, exchange: Exchange) -> None:
    """Raise ``Failed`` unless the run ended when its answer did; shared with the stream's
    checks.
    """
    if type(finished_at) is not int:
        raise NotRun("the run tells no time of its end", exchange)
    ended_at = exchange.sent_at + exchange.seconds
    told_at = _date(exchange)
    off_s = min(
        abs(finished_at - at) for at in (ended_at, told_at if told_at is not None else ended_at)
    )
    expected = f"finished_at within {_CLOCK_TOLERANCE_S:g} s of the answer"
    expect(off_s <= _CLOCK_TOLERANCE_S, expected, f"{off_s:.0f} s away", exchange)


def _date(exchange: Exchange) -> float | None:
    """When the host's clock says that the answer ended: its Date is of the answer's first byte."""
    date = exchange.header("date")
    first_s = exchange.chunks[0].at_s if exchange.chunks else 0.0
    try:
        return (
            parsedate_to_datetime(date).timestamp() + exchange.seconds - first_s if date else None
        )
    except ValueError:
        return None


# The picture's file object
# -------------------------------------------------------------------------------------------


@check(Level.DOCUMENT, "document lines 52-65; openapi.yaml#/components/schemas/RunData")
def outputs_hold_a_picture(target: Target) -> None:
    """outputs.files of a succeeded run is an array with a file object in it."""
    data = blocking_data(target)
    if data.get("status") != "succeeded":
        raise NotRun("the blocking run did not succeed", blocking(target))
    outputs = data.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else outputs
    holds = (
        isinstance(files, list) and bool(files) and all(isinstance(file, dict) for file in files)
    )
    why = (
        "an empty array is what this host says when its picture tool failed" if files == [] else ""
    )
    expect(holds, "outputs.files with a file object", files, blocking(target), why)


@check(Level.HOST, "FACTS 4")
def run_makes_one_picture(target: Target) -> None:
    """outputs.files has exactly one file, however many the picture tool made."""
    _file(target)
    expect_equal(len(_outputs(target)["files"]), 1, "number of files", blocking(target))


@check(Level.VERSION, "document lines 54-64; FACTS 4 and 9.1")
def file_has_the_fields_of_the_host(target: Target) -> None:
    """The file object has the document's fields, in the host's order, and no other."""
    expect_version(list(_file(target)), _FILE_FIELDS, "file fields", blocking(target))


@check(Level.VERSION, "document line 55; FACTS 4 and 9.1")
def file_is_marked_as_a_file(target: Target) -> None:
    """__variant is FileVar; later versions have dify_model_identity __dify__file__ instead."""
    marks = {
        name: _file(target)[name]
        for name in ("__variant", "dify_model_identity")
        if name in _file(target)
    }
    known = {"0.6.4": {"__variant": "FileVar"}, "0.15.3": {"dify_model_identity": "__dify__file__"}}
    expect_version(marks, known, "mark", blocking(target))


@check(Level.HOST, "document line 56; FACTS 4")
def tenant_id_is_a_uuid(target: Target) -> None:
    """tenant_id is a lower-case uuid."""
    expect_kind(_file(target).get("tenant_id"), UUID, "tenant_id", blocking(target))


@check(Level.DOCUMENT, "document line 57; FACTS 4")
def file_type_is_image(target: Target) -> None:
    """The file's type is image."""
    expect_equal(_file(target).get("type"), "image", "type", blocking(target))


@check(Level.DOCUMENT, "document line 58; FACTS 4")
def transfer_method_is_tool_file(target: Target) -> None:
    """The file's transfer_method is tool_file."""
    expect_equal(
        _file(target).get("transfer_method"), "tool_file", "transfer_method", blocking(target)
    )


@check(Level.DOCUMENT, "document lines 59-60; FACTS 4")
def related_id_is_the_id_in_the_url(target: Target) -> None:
    """related_id is a uuid, and the same that stands in the url."""
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
    expect_equal(
        file.get("mime_type"),
        _MIME_TYPES.get(str(file.get("extension"))),
        "mime_type",
        blocking(target),
    )


@check(Level.VERSION, "document line 61; FACTS 4 and 9.1")
def filename_is_image(target: Target) -> None:
    """filename is image; later versions have 32 hexadecimal digits and the extension."""
    filename = _file(target).get("filename")
    known = {"0.6.4": "image"}
    if (
        isinstance(filename, str)
        and _LATER_FILENAME.fullmatch(filename)
        and "__variant" not in _file(target)
    ):
        known["0.15.3"] = filename
    expect_version(filename, known, "filename", blocking(target))


@check(Level.HOST, "document lines 54-64; FACTS 4 and 9.1")
def file_fields_are_of_their_kinds(target: Target) -> None:
    """What the document shows of the file object are strings; a size, which later versions tell, is
    in whole bytes.
    """
    kinds = {**dict.fromkeys(_FILE_FIELDS["0.6.4"], TEXT), "size": COUNT}
    expect_kinds(_file(target), kinds, "the file", blocking(target))
