"""The ring: bounded in number and bytes, whatever is thrown at it; and what is forgotten keeps
nothing.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from dify_wire.redaction.text import TextRedactor
from fake_server.clock import Clock
from fake_server.journal import Entry, Journal
from fake_server.journal.entry import KEPT_BYTES
from fake_server.journal.exchanges import BYTES, ENTRIES, AccessLog, Counters
from fake_server.journal.reading import JournalReader
from tests.admin.calling import host, requests_of, run
from tests.asgi import scope

READER = JournalReader(host().host)


def journal(entries: int = ENTRIES, size: int = BYTES) -> Journal:
    return Journal(Clock(lambda: 1000.0), entries, size)


def begun(ring: Journal, body: bytes = b"") -> Entry:
    entry = ring.begin(scope("POST", "/v1/workflows/run"))
    entry.request_chunk(received(body))
    return entry


def received(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def sent(body: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def started(kind: bytes = b"application/json", status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"Content-Type", kind)]}


def test_ten_thousand_requests_leave_the_newest_thousand() -> None:
    ring = journal()
    for _ in range(10_000):
        begun(ring)
    numbers = [entry.number for entry in ring.entries()]
    assert numbers == list(range(9_001, 10_001))
    assert (ring.last_number, ring.forgotten) == (10_000, 9_000)


def test_large_bodies_make_room_by_their_bytes() -> None:
    ring = journal()
    for _ in range(1_000):
        entry = begun(ring, b"x" * KEPT_BYTES)
        entry.response_head(started())
        entry.response_chunk(sent(b"y" * KEPT_BYTES))
        assert ring.bytes <= BYTES
        assert ring.bytes == sum(one.size for one in ring.entries())
    assert len(ring) == BYTES // entry.size


def test_a_body_in_tiny_pieces_weighs_more_than_its_bytes() -> None:
    ring = journal(size=100_000)
    entry = begun(ring)
    entry.response_head(started(b"text/event-stream"))
    for _ in range(1_000):
        entry.response_chunk(sent(b"x", more=True))
    assert entry.discarded
    assert ring.bytes == 0


def test_large_headers_count_too() -> None:
    ring = journal(size=100_000)
    for _ in range(10):
        ring.begin(scope("GET", "/", {"X-Large": "x" * 30_000}))
    assert len(ring) == 3


def test_of_a_body_only_its_beginning_is_kept_and_all_of_it_counted() -> None:
    entry = journal().begin(scope("POST", "/"))
    for _ in range(3):
        entry.request_chunk(received(b"x" * 40_000, more=True))
    entry.response_head(started())
    for _ in range(3):
        entry.response_chunk(sent(b"y" * 40_000, more=True))
    assert (len(entry.body), entry.body_bytes) == (KEPT_BYTES, 120_000)
    assert (sum(len(data) for _, data in entry.chunks), entry.sent_bytes) == (KEPT_BYTES, 120_000)


def test_a_stream_that_has_made_room_keeps_no_more() -> None:
    """Thousands of open streams outlast the ring; what they go on sending must not pile up outside
    of it.
    """
    ring = journal(entries=1)
    stream = begun(ring)
    stream.response_head(started(b"text/event-stream; charset=utf-8"))
    begun(ring)
    kept = ring.bytes
    stream.response_chunk(sent(b"data: {}\n\n", more=True))
    assert (stream.discarded, stream.chunks, ring.bytes) == (True, [], kept)
    assert stream.sent_bytes == 10


def test_a_discarded_stream_drops_what_it_has_sent_but_not_the_request() -> None:
    """A test may hold the request; what a stream has sent is only shown by the journal."""
    ring = journal(entries=1)
    stream = begun(ring, b"{}")
    stream.response_head(started(b"text/event-stream"))
    stream.response_chunk(sent(b"data: 1\n\n", more=True))
    stream.response_chunk(sent(b"data: 2\n\n", more=True))
    assert [data for _, data in stream.chunks] == [b"data: 1\n\n", b"data: 2\n\n"]
    begun(ring)
    assert (stream.chunks, stream.body) == ([], b"{}")


@given(
    body=st.binary(max_size=KEPT_BYTES + 10),
    answer=st.sampled_from([b"", b"{}", b"x" * (KEPT_BYTES + 10)]),
    kind=st.sampled_from([b"application/json", b"text/event-stream; charset=utf-8"]),
)
def test_an_exchange_noted_at_once_is_as_one_noted_bit_by_bit(
    body: bytes, answer: bytes, kind: bytes
) -> None:
    logs = [AccessLog(journal(), Counters(), TextRedactor) for _ in range(2)]
    request, head = scope("POST", "/v1/workflows/run"), started(kind)
    entry = logs[0].begin(request)
    entry.operation = "runWorkflow"
    entry.request_chunk(received(body))
    entry.response_head(head)
    logs[0].counters.streams_open += entry.is_stream
    entry.response_chunk(sent(answer))
    logs[0].end(entry)
    logs[1].noted(
        request,
        body,
        operation="runWorkflow",
        status=200,
        headers=head["headers"],
        sent=answer,
        is_stream=entry.is_stream,
        began=logs[1].ticks(),
    )
    assert _state(logs[0]) == _state(logs[1])


def _state(log: AccessLog) -> object:
    """What the journal and the metrics know, but for times."""
    counters, [entry] = log.counters, log.journal.entries()
    shown = {name: value for name, value in READER.to_json(entry).items() if "_ms" not in name}
    for frame in (shown["answer"] or {}).get("frames", ()):
        del frame["ms"]
    counts = (dict(counters.requests), counters.running, counters.streams_open)
    return shown, entry.size, log.journal.bytes, entry.request_complete, counts


def test_clearing_forgets_what_is_still_being_answered() -> None:
    ring = journal()
    entry = begun(ring)
    ring.clear()
    entry.response_head(started())
    entry.response_chunk(sent(b"{}"))
    entry.end(crashed=False)
    assert (ring.entries(), ring.bytes) == ([], 0)
    assert begun(ring).number == 2


def test_since_a_number_are_the_later_ones() -> None:
    ring = journal()
    for _ in range(3):
        begun(ring)
    assert [entry.number for entry in ring.entries(1)] == [2, 3]


def test_watchers_are_called_until_they_stop_watching() -> None:
    ring = journal()
    calls: list[int] = []
    ring.watch("me", lambda _: calls.append(len(ring)))
    begun(ring)
    assert calls == [1]
    ring.unwatch("me")
    ring.unwatch("me")
    begun(ring)
    assert calls == [1]


def test_an_ended_entry_does_not_hold_on_to_its_connection() -> None:
    request = scope("GET", "/")
    request["extensions"] = {"transport": object()}
    entry = journal().begin(request)
    entry.end(crashed=False)
    assert "extensions" not in entry.scope


def test_a_server_under_load_keeps_a_bounded_journal() -> None:
    """Through the whole app, with the counters beside it going on."""
    app = host()
    for _ in range(1_050):
        run(app, b"{}")
    assert len(app.host.journal) == ENTRIES
    assert app.host.counters.requests["runWorkflow", 400] == 1_050
    assert requests_of(app, "?limit=1")[0]["id"] == 1_050
