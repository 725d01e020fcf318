"""Runs side by side, one after the other and cut short: each is a run of its own (FACTS 7 and
8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from contract.check import Capability, Evidence, Level, Phase, check
from contract.evidence import (
    STOPPED_MODEL,
    blocking,
    blocking_data,
    shared_runs,
    stopped,
    stream_with_events,
)
from contract.form import form_field
from contract.result import NotRun, Skipped, expect, expect_equal
from contract.shape import files_within
from contract.target import Stream, Target, is_accepted_run
from contract.trace import as_object, shared_trace
from dify_wire.exchange import Exchange

_SLOWER = 1.3
_SLACK_S = 1.0
_STOP_POLL_S = 1.0
_STOP_SLACK_S = 0.2


def _runs(target: Target) -> Iterator[tuple[Exchange, Mapping[str, Any]]]:
    """Every run so far, the shared ones among them, with what it told at its end."""
    both = shared_runs(target)
    shared = [both.blocking, both.stream.exchange]
    for exchange in {
        id(one): one for one in [*shared, *target.exchanges] if is_accepted_run(one)
    }.values():
        told = exchange.json_object() or _end(exchange)
        if told:
            yield exchange, told


def _end(exchange: Exchange) -> Mapping[str, Any]:
    said = Stream.of(exchange).data_frames
    return said[-1][1] if said else {}


@check(Level.HOST, "FACTS 8", phase=Phase.EXCHANGES)
def each_run_has_ids_of_its_own(target: Target) -> None:
    """No two runs have the same task, run or file."""
    seen: set[str] = set()
    for exchange, told in _runs(target):
        ids = [
            told.get("task_id"),
            told.get("workflow_run_id"),
            *(one["related_id"] for one in files_within(told)),
        ]
        own = {one for one in ids if isinstance(one, str)}
        expect(not own & seen, "ids that no earlier run had", sorted(own & seen), exchange)
        seen |= own


@check(Level.HOST, "FACTS 4 and 8", phase=Phase.EXCHANGES)
def each_run_is_timed_for_itself(target: Target) -> None:
    """No two runs that succeeded took the same time to the last digit, for it is measured."""
    seen: dict[float, Exchange] = {}
    for exchange, told in _runs(target):
        data = told.get("data")
        if (
            isinstance(data, dict)
            and data.get("status") == "succeeded"
            and isinstance(data.get("elapsed_time"), float)
        ):
            elapsed_s = data["elapsed_time"]
            expect(elapsed_s not in seen, "an elapsed_time of its own", elapsed_s, exchange)
            seen[elapsed_s] = exchange


def _first_and_later(target: Target) -> Iterator[tuple[Exchange, Mapping[str, Any]]]:
    """How the shared stream ended, and one of the same user that was asked for when that was
    over.
    """
    for told in (stream_with_events(target), stopped(target).stream):
        ends = told.events("workflow_finished")
        if not ends:
            raise NotRun("a stream tells no end to be compared with another's", told.exchange)
        yield told.exchange, ends[-1]


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
    if before is None and shared_trace(target).is_later:
        raise Skipped("this version tells no sequence_number", exchange)
    if not (isinstance(before, int) and isinstance(after, int)):
        raise NotRun("the streams tell no sequence_number to be compared", exchange)
    expect(after > before, f"a sequence_number above {before}", after, exchange)


@check(Level.HOST, "FACTS 8", Capability.FINITE_SPEED, follows_from=("first_frame_comes_at_once",))
def runs_at_once_do_not_wait_for_each_other(target: Target) -> None:
    """Of two runs asked for at once each takes as long as it says, by the measure of the stream's
    own frames.
    """
    stream, answer = stream_with_events(target), blocking(target)
    if shared_trace(target).buffering:
        raise NotRun("the stream is held back, so that its frames measure nothing", stream.exchange)
    streamed_s = _elapsed_s((stream.events("workflow_finished") or [{}])[-1], stream.exchange)
    wall_per_s = (stream.frames[-1].at_s - stream.frames[0].at_s) / streamed_s
    for exchange, elapsed_s in (
        (answer, _elapsed_s(blocking_data(target), answer)),
        (stream.exchange, streamed_s),
    ):
        due_s = elapsed_s * wall_per_s
        expected = f"the end within {due_s:.1f} s (x {_SLOWER:g} + {_SLACK_S:g} s)"
        expect(
            exchange.seconds <= due_s * _SLOWER + _SLACK_S,
            expected,
            f"{exchange.seconds:.1f} s",
            exchange,
        )


@check(
    Level.HOST,
    "FACTS 7: 1 s poll (captured on 0.6.4: stop_during_block)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def run_does_not_outlive_its_stop(target: Target) -> None:
    """A run that was told to stop does not go on to its own end for more than a second of its own
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
    expect(
        in_time,
        f"stopped, or its own end within {due_s:.1f} s",
        f"{end.get('status')} after {went_on_s:.1f} s",
        run,
    )


@check(Level.HOST, "FACTS 5.5", uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN))
def model_comes_back_as_it_was_sent(target: Target) -> None:
    """The stream of a run tells, at its start, the model that was asked for."""
    form_field(target, "model_name")
    found = stopped(target).stream
    started = found.events("workflow_started")
    if not started:
        raise NotRun("the run that is to be stopped tells no workflow_started", found.exchange)
    inputs = started[0].get("inputs")
    told = inputs.get("model_name") if isinstance(inputs, dict) else inputs
    expect_equal(told, STOPPED_MODEL, "model_name", found.exchange)


@check(Level.HOST, "FACTS 1.8 (recorded: block_ok_doc_example, stream_ok_no_model)")
def responses_of_runs_are_for_any(target: Target) -> None:
    """Where no Origin asks, the answer of a run is for any, in both modes."""
    both = shared_runs(target)
    for exchange in (both.blocking, both.stream.exchange):
        expect_equal(
            exchange.header("Access-Control-Allow-Origin"),
            "*",
            "Access-Control-Allow-Origin",
            exchange,
        )


def _elapsed_s(data: Mapping[str, Any], exchange: Exchange) -> float:
    elapsed_s = data.get("elapsed_time")
    if not isinstance(elapsed_s, int | float) or elapsed_s <= 0:
        raise NotRun("the run tells no elapsed_time", exchange)
    return float(elapsed_s)
