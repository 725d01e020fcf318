"""The file objects within a stream: where they stand, how they are signed, and that they are like
those of the blocking response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from contract.check import Level, check
from contract.evidence import blocking_data
from contract.result import NotRun, Skipped
from contract.signature import URL_FORM, SignedUrl, parse_url
from contract.target import Target, files_within, ids_of
from contract.trace import RunTrace, as_object, shared_trace, trace_check


def _with_files(trace: RunTrace) -> Iterator[tuple[Any, Any]]:
    """``files`` and ``outputs`` of each frame that has both."""
    for event in trace.events:
        if "files" in event.data and "outputs" in event.data:
            yield event.data["files"], event.data["outputs"]


def _files(trace: RunTrace) -> list[Mapping[str, Any]]:
    files = list(trace.files())
    if not files:
        raise NotRun("the stream has no file", trace.exchange)
    return files


@trace_check(Level.DOCUMENT, "document lines 53-65; FACTS 5.5")
def streaming_run_has_an_image(trace: RunTrace) -> None:
    """outputs.files of workflow_finished has one file object, as the blocking response's."""
    if not trace.has_succeeded:
        raise NotRun("the streaming run did not succeed", trace.exchange)
    files = as_object(trace.end.get("outputs")).get("files")
    trace.expect(len(list(files_within(files))) == 1, "one file object in outputs.files", files)


@trace_check(Level.HOST, "FACTS 5.5 and 5.6")
def files_are_those_of_the_outputs(trace: RunTrace) -> None:
    """files of a frame are the file objects within its outputs, in their order."""
    for files, outputs in _with_files(trace):
        trace.expect_equal(ids_of(files), ids_of(outputs), "files")


@trace_check(Level.HOST, "FACTS 5.6")
def files_repeat_the_outputs_byte_for_byte(trace: RunTrace) -> None:
    """files of a frame have the signatures of its outputs: they are one serialisation, before
    1.9.
    """
    if trace.profile.fact("stream.signed") == "each":
        raise Skipped("this version signs files and outputs apart", trace.exchange)
    for files, outputs in _with_files(trace):
        got, expected = list(files_within(files)), list(files_within(outputs))
        trace.expect(got == expected, f"files {expected}", got)


@trace_check(Level.HOST, "FACTS 5.6")
def end_repeats_the_run_byte_for_byte(trace: RunTrace) -> None:
    """outputs and files of the end node are those of workflow_finished, in 0.6 signatures too."""
    if trace.profile.fact("stream.signed") != "run":
        raise Skipped("this version signs the end's frame and the run's apart", trace.exchange)
    last = trace.of_type("end")[-1].result
    for name in ("outputs", "files"):
        got, expected = trace.end.get(name), last.get(name)
        trace.expect(got == expected, f"{name} {expected}", got)


@trace_check(Level.HOST, "FACTS 5.6")
def each_serialisation_signs_anew(trace: RunTrace) -> None:
    """The same file has another nonce and signature in the tool's frame, in the end's inputs and in
    its outputs.
    """
    found = [url for node in trace.of_type("tool") for url in _urls(node.result.get("outputs"))]
    for node in trace.of_type("end"):
        found += [*_urls(node.result.get("inputs")), *_urls(node.result.get("outputs"))]
    if not found:
        raise NotRun("the run has no file", trace.exchange)
    nonces, signs = {url.nonce for url in found}, {url.sign for url in found}
    fresh = len(nonces) == len(signs) == len(found)
    got = f"{len(nonces)} nonces and {len(signs)} signatures"
    trace.expect(fresh, f"{len(found)} nonces and signatures", got)


def _urls(value: Any) -> list[SignedUrl]:
    urls = (parse_url(str(file.get("url"))) for file in files_within(value))
    return [url for url in urls if url is not None]


@trace_check(Level.HOST, "FACTS 5.6")
def end_takes_its_file_from_the_tool(trace: RunTrace) -> None:
    """The file of the run is one that a tool's node made."""
    made = [file_id for node in trace.of_type("tool") for file_id in ids_of(node.result)]
    for file_id in ids_of(trace.end.get("outputs")):
        trace.expect(file_id in made, f"one of {made}", file_id)


@trace_check(Level.HOST, "FACTS 5.5 and 9.1")
def streamed_files_have_the_hosts_fields(trace: RunTrace) -> None:
    """Every file object of a stream has the fields of the host, in its order, as the blocking
    response's.
    """
    for file in _files(trace):
        trace.expect_fields(file, "File", "a file")


@trace_check(Level.HOST, "FACTS 4 and 5.6")
def streamed_urls_have_the_documents_form(trace: RunTrace) -> None:
    """Every URL of a stream is signed, and has the form of the document's."""
    for file in _files(trace):
        url = file.get("url")
        trace.expect(isinstance(url, str) and parse_url(url) is not None, URL_FORM, url)


@check(Level.HOST, "FACTS 4 and 5.5")
def both_modes_describe_a_file_alike(target: Target) -> None:
    """The file of the stream and of the blocking response have the same fields and the same tenant,
    type and form.
    """
    trace = shared_trace(target)
    streamed = next(files_within(trace.end.get("outputs")), None)
    blocking = next(files_within(blocking_data(target).get("outputs")), None)
    if streamed is None or blocking is None:
        raise NotRun("there are no two files to compare", trace.exchange)
    trace.expect_equal(list(streamed), list(blocking), "fields of the streamed file")
    for name in {"tenant_id", "type", "transfer_method"} & blocking.keys():
        trace.expect_equal(streamed.get(name), blocking.get(name), name)
