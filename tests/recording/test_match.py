"""The n-th same request gets the n-th answer; what is not the same says in what it differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.exchange import Recording, Request
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.recording.matching import EXACT_MATCHERS, FORM_FIELDS, MATCHERS, Matcher, RequestKey
from dify_wire.recording.store import NearMiss, NotRecordedError, RecordingStore, recording_store
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import parse_rule
from tests.recording.samples import KEY, recording, request

BODY = {"inputs": {"prompt": "a cat", "n": 1}, "response_mode": "blocking", "user": "alice"}
PLAIN = request(BODY)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def multipart(boundary: str, user: str, file: bytes) -> Request:
    parts = [
        b'Content-Disposition: form-data; name="user"\r\n\r\n' + user.encode(),
        b'name="file"\r\n\r\n' + file,
    ]
    lines = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    headers = (("Content-Type", f"multipart/form-data; boundary={boundary}"),)
    return request(lines + b"--" + boundary.encode() + b"--\r\n", headers=headers)


def signed(nonce: str) -> str:
    signed = f"timestamp=17139{nonce[:5]}&nonce={nonce * 4}&sign={nonce}abcdefghijklmnopq%3D"
    return f"/files/tools/1.png?{signed}"


SAME = {
    "itself": (PLAIN, PLAIN),
    "fields in another order": (PLAIN, request(dict(reversed(BODY.items())))),
    "JSON in another style": (PLAIN, request(json.dumps(BODY, separators=(",", ":")).encode())),
    "another user": (PLAIN, request(BODY | {"user": "bob"})),
    "another user in the query": (request(target="/a?user=x"), request(target="/a?user=y")),
    "a URL signed again": (request(target=signed("12345678")), request(target=signed("87654321"))),
    "a body with a URL signed again": (
        request({"url": signed("12345678")}),
        request({"url": signed("87654321")}),
    ),
    "an escaped path": (request(target="/v1/a%2Db"), request(target="/v1/a-b")),
    "a query in another order": (request(target="/a?x=1&y=2"), request(target="/a?y=2&x=1")),
    "other headers": (
        PLAIN,
        replace(PLAIN, headers=(("content-type", "Application/JSON"), ("X-Any", "1"))),
    ),
    "another boundary": (multipart("x", "a", b"1"), multipart("yy", "b", b"1")),
    "another user in a form": (
        request(b"user=a&b=1", headers=FORM),
        request(b"b=1&user=c", headers=FORM),
    ),
    "another user in what is no JSON": (
        request(b'{"user": "a", "x": "\xff"}'),
        request(b'{"user": "b \\" c", "x": "\xff"}'),
    ),
    "an unknown key in a body": (
        request({"k": "{{key:unknown-1}}"}),
        request({"k": "{{key:unknown-2}}"}),
    ),
}
OTHER = {
    "another method": (PLAIN, replace(PLAIN, method="PUT"), "method"),
    "another path": (PLAIN, replace(PLAIN, target="/v1/parameters"), "path"),
    "another query": (request(target="/a?x=1"), request(target="/a?x=2"), "query"),
    "another content type": (PLAIN, replace(PLAIN, headers=()), "content type"),
    "another value": (PLAIN, request(BODY | {"response_mode": "streaming"}), "body"),
    "no user": (
        PLAIN,
        request({key: value for key, value in BODY.items() if key != "user"}),
        "body",
    ),
    "an empty user": (PLAIN, request(BODY | {"user": ""}), "body"),
    "a user that is no text": (PLAIN, request(BODY | {"user": 5}), "body"),
    "a number of another kind": (request({"n": 1}), request({"n": 1.0}), "body"),
    "true for one": (request({"n": 1}), request({"n": True}), "body"),
    "a name twice": (request(b'{"a": 1}'), request(b'{"a": 0, "a": 1}'), "body"),
    "bytes that are no JSON": (request(b"{"), request(b"{ "), "body"),
    "JSON too deep to be read": (request(b"[" * 100_000), request(b"[" * 100_001), "body"),
    "another file in a form": (multipart("x", "a", b"1"), multipart("x", "a", b"2"), "body"),
    "another field in a form": (
        request(b"b=1", headers=FORM),
        request(b"b=2", headers=FORM),
        "body",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_from_run_to_run_makes_no_other_request(name: str) -> None:
    recorded, wanted_request = map(RequestKey, SAME[name])
    assert [
        difference
        for matcher in MATCHERS
        for difference in matcher.differences(matcher.part(recorded), matcher.part(wanted_request))
    ] == []
    assert RecordingStore([(recorded, name)]).next(wanted_request) == name


@pytest.mark.parametrize("name", OTHER)
def test_everything_else_does_and_its_matcher_says_so(name: str) -> None:
    *requests, matcher = OTHER[name]
    recorded, wanted_request = map(RequestKey, requests)
    found = [
        one
        for each in MATCHERS
        for one in each.differences(each.part(recorded), each.part(wanted_request))
    ]
    assert {difference.matcher for difference in found} == {matcher}
    with pytest.raises(NotRecordedError):
        RecordingStore([(recorded, name)]).next(wanted_request)


def test_another_app_s_key_is_another_request() -> None:
    with pytest.raises(NotRecordedError, match='app: recorded "main", asked "chat"'):
        recording_store([recording(request=PLAIN)]).next(RequestKey(PLAIN, "chat"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("Authorization", "Bearer x"), ("Origin", "http://a"), ("target", "/a?sign=x")],
)
def test_exact_matchers_look_at_key_origin_and_signature_too(name: str, value: str) -> None:
    wanted_request = (
        replace(PLAIN, target=value)
        if name == "target"
        else replace(PLAIN, headers=((name, value), *PLAIN.headers))
    )
    exact = RecordingStore([(RequestKey(PLAIN), "it")], EXACT_MATCHERS)
    assert exact.next(RequestKey(PLAIN)) == "it"
    for other in (wanted_request, request(BODY | {"user": "bob"})):
        with pytest.raises(NotRecordedError):
            exact.next(RequestKey(other))


# Turns


def answers(
    found: RecordingStore[Recording], times: int, wanted_request: Request = PLAIN
) -> list[str]:
    return [found.next(RequestKey(wanted_request, "main")).name for _ in range(times)]


def in_turn() -> list[Recording]:
    other = request(BODY | {"response_mode": "streaming"})
    return [
        recording(name="a", request=PLAIN),
        recording(name="other", request=other),
        recording(name="b", request=PLAIN),
    ]


def test_the_nth_same_request_gets_the_nth_answer_and_the_last_one_again() -> None:
    assert answers(recording_store(in_turn()), 4) == ["a", "b", "b", "b"]


def test_after_the_last_answer_there_may_be_none() -> None:
    found = recording_store(in_turn(), "miss")
    assert answers(found, 2) == ["a", "b"]
    with pytest.raises(NotRecordedError, match="all 2 recorded responses were returned") as missed:
        answers(found, 1)
    assert (missed.value.given, missed.value.nearest) == (2, ())


def test_rewound_nothing_was_requested_yet() -> None:
    found = recording_store(in_turn())
    assert answers(found, 2) == ["a", "b"]
    assert answers(found.rewound(), 2) == ["a", "b"]
    assert answers(found, 1) == ["b"]


# Near misses


def test_a_miss_names_the_nearest_recordings_and_the_fields_that_differ() -> None:
    recorded = [
        recording(name="far", request=request(target="/v1/parameters", method="GET")),
        recording(name="near", request=request(BODY | {"inputs": {"prompt": "a dog"}})),
        recording(name="nearer", request=request(BODY | {"response_mode": "streaming"})),
        recording(name="put", request=replace(PLAIN, method="PUT")),
    ]
    with pytest.raises(NotRecordedError) as missed:
        recording_store(recorded).next(RequestKey(PLAIN, "main"))
    assert [miss.value.name for miss in missed.value.nearest] == ["nearer", "near", "put"]  # type: ignore[attr-defined]
    lines = str(missed.value).splitlines()
    assert lines[0] == "POST /v1/workflows/run with this content was not recorded"
    assert lines[1].strip() == (
        "nearest: nearer (POST /v1/workflows/run): "
        'body /response_mode: recorded "streaming", asked "blocking"'
    )
    assert (
        'body /inputs/prompt: recorded "a dog", asked "a cat"; '
        "body /inputs/n: recorded nothing, asked 1" in lines[2]
    )


def test_of_a_long_body_a_miss_tells_the_size_alone() -> None:
    """To compare it with every recorded one would take seconds."""
    long = request(BODY | {"inputs": {"prompt": "a" * 100_000}})
    difference = (
        recording_store([recording(request=PLAIN)])
        .nearest(RequestKey(long, "main"))[0]
        .differences[-1]
    )
    assert (difference.matcher, difference.actual) == ("body", f"{len(long.body)} bytes")


def test_a_library_knows_what_was_recorded_without_giving_an_answer() -> None:
    found = recording_store(in_turn(), "miss")
    assert found.knows(RequestKey(PLAIN, "main"))
    assert not found.knows(RequestKey(request({}), "main"))
    assert answers(found, 1) == answers(recording_store(in_turn(), "miss"), 1)


def test_long_values_are_shown_short() -> None:
    with pytest.raises(NotRecordedError) as missed:
        recording_store([recording(request=request({"p": "x" * 5000}))]).next(
            RequestKey(request({"p": "y" * 5000}), "main")
        )
    assert len(str(missed.value)) < 500


def test_recordings_that_only_repeat_their_request_line_can_be_reported_apart(
    tmp_path: Path,
) -> None:
    """By number, mode and status; a name that somebody gave stays alone."""
    with RecordingWriter(tmp_path) as writer:
        for name, mode, status in (
            ("", "blocking", 200),
            ("", "streaming", 400),
            ("mine", "blocking", 200),
        ):
            writer.write(
                recording(name=name, status=status, request=request(BODY | {"response_mode": mode}))
            )
        writer.write(recording(name="", request=request(b"", target="/v1/meta", method="GET")))
    recordings = read_folder(tmp_path)
    assert [one.label for one in recordings] == [
        "0001-POST-v1-workflows-run (blocking, 200)",
        "0002-POST-v1-workflows-run (streaming, 400)",
        "mine",
        "0004-GET-v1-meta (200)",
    ]
    assert replace(recordings[0], number=0).label == "POST-v1-workflows-run (blocking, 200)"
    with pytest.raises(
        NotRecordedError, match=r"nearest: 0001-POST-v1-workflows-run \(blocking, 200\) \(POST"
    ):
        recording_store(recordings).next(RequestKey(request(BODY | {"inputs": {}}), "main"))


def test_message_shows_letters_and_no_control_characters() -> None:
    """Whoever asks must not write into the log or the terminal of whoever runs the replay."""
    recorded = recording(name="a\x1b[2J", request=request({"prompt": "一个胸有成竹"}))
    wanted_request = request(
        {"prompt": "\x1b[2J\r\n18:00 forged\x9b\x7f\u2028"}, target="/v1/workflows/run"
    )
    with pytest.raises(NotRecordedError) as missed:
        recording_store([recorded]).next(RequestKey(wanted_request, "main"))
    first, second = str(missed.value).split("\n")
    assert '"一个胸有成竹"' in second
    assert second.isprintable()
    assert first.isprintable()
    for body in (b"\x1b]0;owned\x07\r\nforged", b'{"a": "\x1b"}'):
        message = str(
            NotRecordedError(
                RequestKey(request(body)),
                0,
                recording_store([recorded]).nearest(RequestKey(request(body))),
            )
        )
        assert all(line.isprintable() for line in message.split("\n"))


@pytest.mark.parametrize("count", [FORM_FIELDS, FORM_FIELDS + 1])
def test_form_is_compared_by_its_fields_up_to_a_bound(count: int) -> None:
    """Beyond it byte by byte; the caller's user may be any in both."""
    fields = ["user=alice", *(f"a={number}" for number in range(count - 1))]
    found = RecordingStore([(RequestKey(request("&".join(fields).encode(), headers=FORM)), "it")])
    other_user = "&".join(["user=bob", *fields[1:]]).encode()
    assert found.next(RequestKey(request(other_user, headers=FORM))) == "it"
    reordered = RequestKey(request("&".join(reversed(fields)).encode(), headers=FORM))
    assert found.knows(reordered) is (count == FORM_FIELDS)


def test_parts_of_a_request_are_read_once() -> None:
    """However many requests miss, and however often an equal one comes."""
    read: list[str] = []

    def part(question: RequestKey) -> str:
        read.append(question.request.target)
        return question.request.target

    recorded = [(RequestKey(request(target=f"/{number}")), number) for number in range(50)]
    found = RecordingStore(recorded, [Matcher("target", part)])
    for _ in range(3):
        for target in ("/x", "/y"):
            with pytest.raises(NotRecordedError):
                found.next(RequestKey(request(target=target)))
        assert found.next(RequestKey(request(target="/7"))) == 7
    assert read == [*(f"/{number}" for number in range(50)), "/x", "/y", "/7"]


def test_only_requests_equal_to_the_byte_are_looked_up_together() -> None:
    bodies = [b'{"user": "u"}', b'{"user":"u"}', b'{"user": "u" }']
    looked_up: list[bytes] = []

    def as_recorded(key: RequestKey) -> RequestKey:
        looked_up.append(key.request.body)
        return key

    entries = [(RequestKey(request(bodies[0])), number) for number in range(4)]
    found = RecordingStore(entries, as_recorded=as_recorded)
    assert [found.next(RequestKey(request(body))) for body in [*bodies, bodies[0]]] == [0, 1, 2, 3]
    assert looked_up == bodies


# Redaction before matching


@pytest.mark.parametrize(
    "body", [{"email": "a@b.c", "user": "alice"}, {"key": KEY}, {"user": "x", "n": "order-1"}]
)
def test_a_request_is_redacted_as_the_recorded_one_was(body: dict[str, Any]) -> None:
    """The recorder's salt is gone, and still the same request is the same."""
    rules = [parse_rule("field:email"), parse_rule("text:order-[0-9]+")]
    exchange = recording(request=request(body))
    written = RecordingRedactor({KEY: "main"}, rules=rules).redaction(exchange).head(exchange)
    assert (
        recording_store([written], keys={KEY: "main"}).next(RequestKey(request(body), "main"))
        == written
    )


@pytest.mark.parametrize("other_user", ["alice-wonder", "bob-builder"])
def test_a_prompt_that_contains_the_user_s_name_is_found_whoever_asks(other_user: str) -> None:
    def asking(user: str) -> Request:
        return request({"inputs": {"prompt": f"{user}, a portrait"}, "user": user})

    exchange = recording(request=asking("alice-wonder"))
    written = RecordingRedactor({KEY: "main"}).redaction(exchange).head(exchange)
    assert b"alice" not in written.request.body
    found = recording_store([written], keys={KEY: "main"})
    assert found.next(RequestKey(asking(other_user), "main")) == written
    with pytest.raises(NotRecordedError):
        found.next(
            RequestKey(request({"inputs": {"prompt": "a portrait"}, "user": other_user}), "main")
        )


def test_what_only_the_response_gave_away_may_be_anything_in_a_request() -> None:
    body = {"inputs": {"prompt": "say: a quiet reply, now"}, "user": "u"}
    exchange = recording(b'{"text": "a quiet reply"}', request=request(body))
    written = RecordingRedactor(rules=[parse_rule("field:text")]).redaction(exchange).head(exchange)
    assert b"say: redacted, now" in written.request.body
    found = recording_store([written])
    assert found.knows(RequestKey(request(body), "main"))
    assert found.next(RequestKey(request(body), "main")) == written
    with pytest.raises(NotRecordedError):
        found.next(RequestKey(request(body | {"inputs": {"prompt": "say: a quiet reply"}}), "main"))


def test_what_a_later_version_s_rule_took_out_is_shown_as_a_difference() -> None:
    written = recording(request=request({"a": "redacted"}), redacted=("keys", "cloud:a"))
    with pytest.raises(NotRecordedError, match='body /a: recorded "redacted", asked "x"'):
        recording_store([written]).next(RequestKey(request({"a": "x"}), "main"))


REQUESTS = st.builds(
    lambda method, target, prompt, model, user: request(
        {"inputs": {"prompt": prompt, "model_name": model}, "user": user}, target, method=method
    ),
    st.sampled_from(["POST", "PUT"]),
    st.sampled_from(["/v1/workflows/run", "/v1/info", "/v1/info?a=1"]),
    *[st.sampled_from(["a", "b", "c"])] * 3,
)


@given(st.lists(REQUESTS, max_size=12), REQUESTS)
def test_the_nearest_are_those_that_a_look_at_each_would_find(
    recorded: list[Request], actual: Request
) -> None:
    key = RequestKey(actual, "main")

    def nearest(*requests: Request) -> list[NearMiss[Recording]]:
        return recording_store([recording(request=one) for one in requests]).nearest(key)

    def distance(miss: NearMiss[Recording]) -> tuple[bool, bool, int]:
        names = [one.matcher for one in miss.differences]
        return bool({"path", "target"} & set(names)), "method" in names, len(names)

    alone = [nearest(one)[0] for one in recorded]
    assert nearest(*recorded) == sorted(alone, key=distance)[:3]
