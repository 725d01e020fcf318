"""Runs side by side, one after the other and stopped: each is a run of its own (FACTS 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from contract.check import Capability, Evidence, Level, Phase, check
from contract.evidence import (
    STOPPED_MODEL,
    blocking,
    blocking_data,
    form_field,
    shared_runs,
    stopped,
    stream_with_events,
)
from contract.result import NotRun, Skipped, expect, expect_equal
from contract.target import Stream, Target, files_within, is_accepted_run
from contract.trace import as_object, shared_trace
from dify_wire.exchange import Exchange

_SLOWER = 1.3
_SLACK_S = 1.0
_STOP_POLL_S = 1.0
_RUNS_OF_ONE_TIME = 50
"""Of so many runs two may take the same number of microseconds."""
_STOP_SLACK_S = 0.2


def _runs(target: Target) -> Iterator[tuple[Exchange, Mapping[str, Any]]]:
    """Every run so far, the shared ones among them, with its JSON or its last event."""
    both = shared_runs(target)
    exchanges = [both.blocking, both.stream.exchange, *target.exchanges]
    runs = {id(exchange): exchange for exchange in exchanges if is_accepted_run(exchange)}
    for exchange in runs.values():
        frames = Stream.of(exchange).data_frames
        result = exchange.json_object() or (frames[-1][1] if frames else {})
        if result:
            yield exchange, result


@check(Level.HOST, "FACTS 8", phase=Phase.EXCHANGES)
def each_run_has_ids_of_its_own(target: Target) -> None:
    """No two runs have the same task, run or file."""
    seen: set[str] = set()
    for exchange, result in _runs(target):
        made = (file for file in files_within(result) if file["transfer_method"] == "tool_file")
        ids = [result.get("task_id"), result.get("workflow_run_id")]
        ids += [file.get("related_id") for file in made]
        own = {one for one in ids if isinstance(one, str)}
        expect(not own & seen, "ids that no earlier run had", sorted(own & seen), exchange)
        seen |= own


@check(Level.HOST, "FACTS 4 and 8", phase=Phase.EXCHANGES)
def each_run_is_timed_for_itself(target: Target) -> None:
    """No two runs that succeeded took the same time to the last digit, for it is measured; of a
    hundred runs two may.
    """
    times: dict[float, Exchange] = {}
    repeated: list[float] = []
    for exchange, result in _runs(target):
        data = as_object(result.get("data"))
        elapsed_s = data.get("elapsed_time")
        if data.get("status") == "succeeded" and isinstance(elapsed_s, float):
            repeated += [elapsed_s] if elapsed_s in times else []
            times[elapsed_s] = exchange
    if len(repeated) > len(times) / _RUNS_OF_ONE_TIME:
        expect(False, "an elapsed_time of its own", repeated[0], times[repeated[0]])


def _first_and_later(target: Target) -> Iterator[tuple[Exchange, Mapping[str, Any]]]:
    """The end of the shared stream, and of one of the same user that began when that was over."""
    for found in (stream_with_events(target), stopped(target).stream):
        ends = found.events("workflow_finished")
        if not ends:
            raise NotRun("a stream has no end to compare with another's", found.exchange)
        yield found.exchange, ends[-1]


@check(Level.HOST, "FACTS 5.5", uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN))
def user_has_one_id_in_all_runs(target: Target) -> None:
    """A user who comes again is the same end user: created_by has the same id in a later run."""
    (_, first), (exchange, later) = _first_and_later(target)
    ids = [as_object(end.get("created_by")).get("id") for end in (first, later)]
    expect_equal(ids[1], ids[0], "created_by.id of the same user in a later run", exchange)


@check(Level.HOST, "FACTS 5.5", uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN))
def sequence_number_grows_from_run_to_run(target: Target) -> None:
    """The runs of an app are counted: a later run has a greater sequence_number than one that was
    over before.
    """
    (_, first), (exchange, later) = _first_and_later(target)
    before, after = first.get("sequence_number"), later.get("sequence_number")
    if "sequence_number" not in target.basis.profile.fields("WorkflowFinishedData"):
        raise Skipped("this version has no sequence_number", exchange)
    if not (isinstance(before, int) and isinstance(after, int)):
        raise NotRun("the streams have no sequence_number to compare", exchange)
    expect(after > before, f"a sequence_number above {before}", after, exchange)


@check(Level.HOST, "FACTS 8", Capability.FINITE_SPEED, follows_from=("first_frame_comes_at_once",))
def runs_at_once_do_not_wait_for_each_other(target: Target) -> None:
    """Of two runs started at once each takes as long as it says, by the measure of the stream's
    own frames.
    """
    stream, response = stream_with_events(target), blocking(target)
    if shared_trace(target).buffering:
        raise NotRun("the stream is held back, so that its frames measure nothing", stream.exchange)
    streamed_s = _elapsed_s((stream.events("workflow_finished") or [{}])[-1], stream.exchange)
    wall_per_s = (stream.frames[-1].at_s - stream.frames[0].at_s) / streamed_s
    blocking_s = _elapsed_s(blocking_data(target), response)
    for exchange, elapsed_s in ((response, blocking_s), (stream.exchange, streamed_s)):
        due_s = elapsed_s * wall_per_s
        expected = f"the end within {due_s:.1f} s (x {_SLOWER:g} + {_SLACK_S:g} s)"
        in_time = exchange.seconds <= due_s * _SLOWER + _SLACK_S
        expect(in_time, expected, f"{exchange.seconds:.1f} s", exchange)


@check(
    Level.HOST,
    "FACTS 7: 1 s poll (captured on 0.6.4: stop_during_block)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def run_does_not_outlive_its_stop(target: Target) -> None:
    """A stopped run does not go on to its own end for more than a second of its own
    time.
    """
    found = stopped(target)
    run, call = found.stream.exchange, found.call
    if call is None:
        raise found.error or NotRun("no frame of the stream named the task to stop", run)
    end = (found.stream.events("workflow_finished") or [{}])[-1]
    wall_per_s = run.seconds / _elapsed_s(end, run)
    went_on_s = (run.sent_at + run.seconds - call.sent_at - call.seconds) / wall_per_s
    due_s = _STOP_POLL_S + _STOP_SLACK_S / wall_per_s
    in_time = end.get("status") == "stopped" or went_on_s <= due_s
    expected = f"stopped, or its own end within {due_s:.1f} s"
    expect(in_time, expected, f"{end.get('status')} after {went_on_s:.1f} s", run)


def _elapsed_s(data: Mapping[str, Any], exchange: Exchange) -> float:
    elapsed_s = data.get("elapsed_time")
    if not isinstance(elapsed_s, int | float) or elapsed_s <= 0:
        raise NotRun("the run has no elapsed_time", exchange)
    return float(elapsed_s)


@check(
    Level.HOST,
    "FACTS 5.5",
    Capability.DOCUMENT_APP,
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def model_comes_back_as_it_was_sent(target: Target) -> None:
    """The stream of a run has, at its start, the model that was sent."""
    form_field(target, "model_name")
    found = stopped(target).stream
    started = found.events("workflow_started")
    if not started:
        raise NotRun("the run that is to be stopped has no workflow_started", found.exchange)
    inputs = started[0].get("inputs")
    model = inputs.get("model_name") if isinstance(inputs, dict) else inputs
    expect_equal(model, STOPPED_MODEL, "model_name", found.exchange)


@check(Level.HOST, "FACTS 1.8 (recorded: block_ok_doc_example, stream_ok_no_model)")
def responses_of_runs_are_for_any(target: Target) -> None:
    """Without an Origin, the response of a run allows any, in both modes."""
    name, both = "Access-Control-Allow-Origin", shared_runs(target)
    for exchange in (both.blocking, both.stream.exchange):
        expect_equal(exchange.header(name), "*", name, exchange)
