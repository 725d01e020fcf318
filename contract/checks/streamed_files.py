"""The file objects within a stream: where they stand, how they are signed, and that they are the
blocking answer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from contract.check import Level, check
from contract.evidence import blocking_data
from contract.result import NotRun, expect, expect_equal
from contract.shape import expect_fields, fields, files_within
from contract.signature import SignedUrl, parse_url
from contract.target import Target
from contract.trace import RunTrace, as_object, shared_trace

_FILE_FIELDS = fields(
    "__variant tenant_id type transfer_method url related_id filename extension mime_type",
    added="dify_model_identity id remote_url size",
    dropped="__variant",
)


@check(Level.DOCUMENT, "document lines 53-65; FACTS 5.5")
def streaming_run_has_an_image(target: Target) -> None:
    """outputs.files of workflow_finished has one file object, as the blocking answer's."""
    trace = shared_trace(target)
    if not trace.has_succeeded:
        raise NotRun("the streaming run did not succeed", trace.exchange)
    files = as_object(trace.end.get("outputs")).get("files")
    expect(
        len(list(files_within(files))) == 1,
        "one file object in outputs.files",
        files,
        trace.exchange,
    )


@check(Level.HOST, "FACTS 5.5 and 5.6")
def files_are_those_of_the_outputs(target: Target) -> None:
    """files of a frame are the file objects within its outputs, in their order."""
    trace = shared_trace(target)
    for data in _with_files(trace):
        got, expected = (
            list(files_within(data.get("files"))),
            list(files_within(data.get("outputs"))),
        )
        expect_equal(ids_of(got), ids_of(expected), "files", trace.exchange)


def _with_files(trace: RunTrace) -> Iterator[Mapping[str, Any]]:
    yield from (one.data for one in trace.events if "files" in one.data and "outputs" in one.data)


def ids_of(found: list[Mapping[str, Any]]) -> list[Any]:
    """The ids of file objects."""
    return [file.get("related_id") for file in found]


@check(Level.HOST, "FACTS 5.6")
def files_repeat_the_outputs_byte_for_byte(target: Target) -> None:
    """files of a frame have the signatures of its outputs: they are one serialisation."""
    trace = shared_trace(target)
    for data in _with_files(trace):
        got, expected = (
            list(files_within(data.get("files"))),
            list(files_within(data.get("outputs"))),
        )
        expect(got == expected, f"files {expected}", got, trace.exchange, level=trace.level)


@check(Level.HOST, "FACTS 5.6")
def end_repeats_the_run_byte_for_byte(target: Target) -> None:
    """outputs and files of the end node are those of workflow_finished, signatures too."""
    trace = shared_trace(target)
    last = trace.of_type("end")[-1].result
    for name in ("outputs", "files"):
        got = trace.end.get(name)
        expect(
            got == last.get(name),
            f"{name} {last.get(name)}",
            got,
            trace.exchange,
            level=trace.level,
        )


@check(Level.HOST, "FACTS 5.6")
def each_serialisation_signs_anew(target: Target) -> None:
    """The same file has another nonce and signature in the tool's frame, in the end's inputs and in
    its outputs.
    """
    trace = shared_trace(target)
    signed = [_urls(node.result.get("outputs")) for node in trace.of_type("tool")]
    signed += [
        _urls(node.result.get(name))
        for node in trace.of_type("end")
        for name in ("inputs", "outputs")
    ]
    found = [url for urls in signed for url in urls]
    if not found:
        raise NotRun("the run has no file", trace.exchange)
    nonces, signs = {url.nonce for url in found}, {url.sign for url in found}
    fresh = len(nonces) == len(signs) == len(found)
    got = f"{len(nonces)} nonces and {len(signs)} signatures"
    expect(fresh, f"{len(found)} nonces and signatures", got, trace.exchange, level=trace.level)


def _urls(value: Any) -> list[SignedUrl]:
    return [
        url for file in files_within(value) if (url := parse_url(str(file.get("url")))) is not None
    ]


@check(Level.HOST, "FACTS 5.6")
def end_takes_its_file_from_the_tool(target: Target) -> None:
    """The file of the run is one that a tool's node made."""
    trace = shared_trace(target)
    made = [
        identity
        for node in trace.of_type("tool")
        for identity in ids_of(list(files_within(node.result)))
    ]
    for identity in ids_of(list(files_within(trace.end.get("outputs")))):
        expect(identity in made, f"one of {made}", identity, trace.exchange)


@check(Level.HOST, "FACTS 5.5 and 9.1")
def streamed_files_have_the_hosts_fields(target: Target) -> None:
    """Every file object of a stream has the fields of the host, in its order, as the blocking
    answer's.
    """
    trace = shared_trace(target)
    found = [file for one in trace.events for file in files_within(one.data)]
    if not found:
        raise NotRun("the stream has no file", trace.exchange)
    for file in found:
        expect_fields(file, _FILE_FIELDS, trace.is_later, "a file", trace.exchange)


@check(Level.HOST, "FACTS 4 and 5.6")
def streamed_urls_have_the_documents_form(target: Target) -> None:
    """Every URL of a stream is signed, and has the form of the document's."""
    trace = shared_trace(target)
    found = [file.get("url") for one in trace.events for file in files_within(one.data)]
    if not found:
        raise NotRun("the stream has no file", trace.exchange)
    for url in found:
        signed = isinstance(url, str) and parse_url(url) is not None
        expect(
            signed,
            "/files/tools/<uuid>.<extension>?timestamp=…&nonce=…&sign=…",
            url,
            trace.exchange,
        )


@check(Level.HOST, "FACTS 4 and 5.5")
def both_modes_describe_a_file_alike(target: Target) -> None:
    """The file of the stream and of the blocking answer have the same fields and the same tenant,
    type and form.
    """
    trace = shared_trace(target)
    here = next(files_within(trace.end.get("outputs")), None)
    there = next(files_within(blocking_data(target).get("outputs")), None)
    if here is None or there is None:
        raise NotRun("there are no two files to compare", trace.exchange)
    expect_equal(list(here), list(there), "fields of the streamed file", trace.exchange)
    for name in ("tenant_id", "type", "transfer_method"):
        expect_equal(here.get(name), there.get(name), name, trace.exchange)
