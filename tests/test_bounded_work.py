"""What a request can make the server do is bounded: forms, nesting, numbers, waiting."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.exchange import Request
from dify_wire.recording.matching import FORM_FIELDS, MATCHERS, RequestKey
from fake_server.clock import LATEST, Clock, iso
from fake_server.host_spec import HostError, HostSpec
from fake_server.http.form import FORM_BYTES, FORM_PARTS, FormTooLargeError, read_form
from fake_server.http.request import json_object
from fake_server.journal import Entry, Journal
from fake_server.journal.matching import await_matching, read_match
from fake_server.settings import DEFAULT_API_KEY
from fake_server.workflow.expressions import fill_prompt
from tests.admin.calling import admin, host
from tests.asgi import call, scope

_URL_ENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data; boundary=x"
_PART = b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nu\r\n'


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


def _fields(body: bytes, content_type: str) -> dict[str, str]:
    return dict(asyncio.run(read_form(_chunks(body), content_type)).fields)


def _seconds(work: Callable[[], object]) -> float:
    """Of processor time, the least of three: the collector may look at other tests' objects."""

    def taken() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(taken() for _ in range(3))


# Forms
# ------------------------------------------------------------------------------------------------


def test_a_url_encoded_form_is_read_up_to_its_bound() -> None:
    full = b"user=u&x=" + b"y" * (FORM_BYTES - 9)
    assert len(full) == FORM_BYTES
    assert _fields(full, _URL_ENCODED)["user"] == "u"
    assert _fields(full + b"y", _URL_ENCODED) == {}


def test_a_url_encoded_form_has_so_many_fields_and_no_more() -> None:
    assert _fields(b"user=u" + b"&a=b" * (FORM_PARTS - 1), _URL_ENCODED)["user"] == "u"
    assert _fields(b"user=u" + b"&a=b" * FORM_PARTS, _URL_ENCODED) == {}


def test_a_multipart_form_has_so_many_parts_and_no_more() -> None:
    """As Werkzeug counts them."""
    assert _fields(_PART * FORM_PARTS + b"--x--\r\n", _MULTIPART) == {"user": "u"}
    with pytest.raises(FormTooLargeError):
        _fields(_PART * (FORM_PARTS + 1) + b"--x--\r\n", _MULTIPART)


def test_more_parts_are_refused_in_the_host_s_words() -> None:
    headers = {
        "Host": "h",
        "Authorization": f"Bearer {DEFAULT_API_KEY}",
        "Content-Type": _MULTIPART,
    }
    answer = call(
        host(), "POST", "/v1/files/upload", headers, _PART * (FORM_PARTS + 1) + b"--x--\r\n"
    )
    assert answer.status == 413
    assert answer.json()["code"] == "request_entity_too_large"


@pytest.mark.parametrize("unit", [b"a=%", b"a=b&", b"%41=%42&", b"&", b"="])
def test_a_large_form_takes_no_time(unit: bytes) -> None:
    body = unit * ((12 << 20) // len(unit))
    assert _seconds(lambda: _fields(body, _URL_ENCODED)) < 1


def test_a_replay_compares_a_form_of_many_fields_as_it_is() -> None:
    body_part = next(matcher.part for matcher in MATCHERS if matcher.name == "body")

    def compared(fields: int) -> object:
        body = b"&".join([b"b=1&a=2", *[b"a=b"] * (fields - 2)])
        request = Request("POST", "/v1/x", (("Content-Type", _URL_ENCODED),), body, "1.1")
        return body_part(RequestKey(request))

    assert isinstance(compared(FORM_FIELDS), tuple)
    assert isinstance(compared(FORM_FIELDS + 1), bytes)
    assert _seconds(lambda: compared(3 << 20)) < 1  # 5 s if parsed


# JSON
# ------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.text('[]{}"\\', max_size=5) | st.integers(0, 3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('[{"\\', max_size=2), inner, max_size=2)
    ),
    max_leaves=20,
)


def _nested(value: Any, levels: int) -> str:
    """``value`` as JSON below ``levels`` lists."""
    return "[" * levels + json.dumps(value) + "]" * levels


def _depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)


def _refused_as_too_deep(text: str, spec: HostSpec) -> bool:
    with pytest.raises(HostError) as refused:
        json_object(text.encode(), "application/json", spec.errors)
    return refused.value.name == "internal_error"


@given(value=_JSON, missing=st.integers(-2, 2))
def test_nesting_is_counted_outside_strings(host_spec: HostSpec, value: Any, missing: int) -> None:
    """A broken body is judged by how deep it was nested where it breaks; brackets in strings do not
    count.
    """
    levels = 949 + missing - _depth(value)
    text = _nested(value, levels)[:-1] + "!"  # no JSON: the last bracket is another character
    assert _refused_as_too_deep(text, host_spec) is (levels + _depth(value) >= 950)


@pytest.mark.parametrize(
    "text", ['"' + "[" * (1 << 20) + '" !', '["' + '\\"[' * (1 << 19) + '" !', "[]," * 1000 + "!"]
)
def test_a_refused_body_full_of_brackets_takes_no_time(host_spec: HostSpec, text: str) -> None:
    def refused() -> None:
        assert not _refused_as_too_deep(text, host_spec)

    assert _seconds(refused) < 0.1


# Texts
# ------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["<|", "|>", "<", "|", ">", "a", "\n", "\r"])).map("".join))
def test_special_tokens_are_taken_out_of_a_text(text: str) -> None:
    """As the host does, whose expression takes quadratic time where no token ends."""
    assert fill_prompt(text, {}) == re.sub(r"<\|.*?\|>", "", text)


@pytest.mark.parametrize("unit", ["<|", "<|a", "{{#a.b", "{{#", "{{", "}}"])
def test_a_long_text_is_filled_in_linear_time(unit: str) -> None:
    """In quadratic time this would not end today."""
    text = (unit * (1 << 20))[: 1 << 20]
    assert fill_prompt(text, {}) == text


# The clock
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_clock_stops_at_the_latest_time(frozen: bool) -> None:
    """What follows has a year left: dates end with the year 9999."""
    clock = Clock(wall=lambda: 1000.0)
    if frozen:
        clock.freeze()
    clock.set(LATEST)
    assert clock.now() == LATEST
    assert iso(clock.now() + 31_535_999).startswith("9999-")
    moves: list[Callable[[], None]] = [
        lambda: clock.set(LATEST + 1),
        lambda: clock.advance(1),
        lambda: clock.freeze(LATEST + 1),
        lambda: clock.set(float("nan")),
        lambda: clock.set(-1),
        lambda: clock.advance(float("inf")),
    ]
    for move in moves:
        with pytest.raises(ValueError, match="1970 to 9998"):
            move()
    assert clock.now() == LATEST


_NUMBERS = ["9" * 400, "-" + "9" * 400, "1e999", "NaN", "Infinity", "-Infinity", "1e308", "1e16"]


@pytest.mark.parametrize("number", _NUMBERS)
@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/clock", '{"set": %s}', "set"),
        ("/clock", '{"advance_s": %s}', "advance_s"),
        ("/clock", '{"freeze": "%s"}', "freeze"),
        ("/requests/wait", '{"timeout_s": %s}', "timeout_s"),
        ("/requests/wait", '{"count": %s}', "count"),
        ("/requests/verify", '{"count": {"at_least": %s}}', "count.at_least"),
        ("/scenarios", '{"name": "slow", "with": {"seconds": %s}}', "with.seconds"),
    ],
)
def test_a_number_out_of_bounds_is_a_400_that_names_its_place(
    path: str, body: str, place: str, number: str
) -> None:
    answer = admin(host(), "POST", path, (body % number).encode())
    assert answer.status == 400
    assert answer.json()["error"]["place"] == place
    assert len(answer.json()["error"]["message"]) < 1000


# Waiting
# ------------------------------------------------------------------------------------------------


def test_a_waiter_looks_at_what_changes_and_not_at_the_ring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each new entry is matched a few times, however many are there."""
    journal = Journal(Clock())
    for _ in range(1000):
        journal.begin(scope("GET", "/v1/info")).end(crashed=False)
    looked: list[int] = []
    match = read_match({"path": "/v1/workflows/run"})

    def fits(_: object, entry: Entry) -> bool:
        looked.append(entry.number)
        return False

    monkeypatch.setattr(type(match), "fits", fits)

    async def main() -> None:
        waiting = asyncio.ensure_future(await_matching(journal, match, 1, 0, 60.0))
        for _ in range(100):  # it lets others go on while it looks at what is there
            await asyncio.sleep(0)
        assert len(looked) == 1000
        looked.clear()
        for _ in range(10):
            entry = journal.begin(scope("POST", "/v1/workflows/run"))
            entry.request_chunk({"type": "http.request", "body": b"", "more_body": False})
            await asyncio.sleep(0)
            entry.end(crashed=False)
            await asyncio.sleep(0)
        journal.close()
        assert await waiting == []

    asyncio.run(main())
    assert len(looked) <= 20
    assert set(looked) == set(range(1001, 1011))


def test_a_waiter_forgets_what_the_journal_forgets() -> None:
    journal = Journal(Clock(), entries=2)

    async def main() -> list[int]:
        waiting = asyncio.ensure_future(await_matching(journal, read_match({}), 3, 0, 60.0))
        await asyncio.sleep(0)
        for _ in range(4):
            journal.begin(scope("GET", "/v1/")).end(crashed=False)
            await asyncio.sleep(0)
        journal.close()
        return [entry.number for entry in await waiting]

    assert asyncio.run(main()) == [3, 4]


def test_scenarios_can_be_listed_whatever_a_file_says_of_times(tmp_path: Any) -> None:
    file = tmp_path / "s.yml"
    file.write_text(f"scenarios:\n- name: slow\n  times: {1 << 70}\n")
    answer = admin(host(scenarios=file), "GET", "/scenarios")
    assert answer.json()["scenarios"][0]["times"] == 1 << 53
    assert re.search(r'"times": \d+', answer.body.decode())
