"""A replay as its client sees it, over a socket: rhythm, pictures, ids, users, what is judged live,
and misses.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dify_wire.exchange import Chunk, Recording
from dify_wire.recording.folder import read_folder
from fake_server.replay.responses import placeholder
from tests.compared import normal
from tests.recorder.upstreams import Incoming, running_recorder, scripted, wait_until
from tests.replay.folders import PNG, changed, folder, picture_of, recorded, with_body, with_text
from tests.serving import (
    Connection,
    RawAnswer,
    RunningServer,
    ServerProcess,
    raw_exchange,
    running_server,
    server_process,
)

pytestmark = pytest.mark.server

STREAM = "stream_ok"
BLOCK = "block_ok_doc_example"
KEY = "app-ReplayTestKey0123456789"
SECRET = "sk-of-the-replay-test"  # public on purpose
_FLAGS = ("--api-key", KEY, "--secret-key", SECRET)


@contextlib.contextmanager
def replaying(
    path: Path, *recordings: Recording, flags: tuple[str, ...] = ()
) -> Iterator[RunningServer]:
    """A server that replays ``recordings``, without waiting unless ``flags`` say otherwise."""
    serve = server_process if "--upstream" in flags else running_server
    with serve(*_replay_flags(path, recordings, flags)) as server:
        yield server


@contextlib.contextmanager
def replaying_process(path: Path, *recordings: Recording) -> Iterator[ServerProcess]:
    """The same in a process of its own, which has a log."""
    with server_process(*_replay_flags(path, recordings)) as server:
        yield server


def _replay_flags(
    path: Path, recordings: Sequence[Recording], flags: tuple[str, ...] = ()
) -> tuple[str, ...]:
    speed = () if "--speed" in flags else ("--speed", "instant")
    return ("--replay", str(folder(path, *recordings)), *_FLAGS, *speed, *flags)


def request_of(
    name: str, user: str = "alg123", key: str = KEY, headers: str = "", **inputs: str
) -> bytes:
    """The recorded request, asked by another user with the key of this server."""
    output = json.loads(recorded()[name].request.body)
    output["user"] = user
    output["inputs"].update(inputs)
    return posted("/v1/workflows/run", output, key, headers)


def posted(path: str, output: Any, key: str = KEY, headers: str = "") -> bytes:
    body = output if isinstance(output, bytes) else json.dumps(output, ensure_ascii=False).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: fake.example\r\nAuthorization: Bearer {key}\r\n{headers}"
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def got(path: str, headers: str = "", method: str = "GET") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: fake.example\r\nAuthorization: Bearer {KEY}\r\n"
    return f"{head}{headers}\r\n".encode()


def fetch(server: RunningServer, request: bytes, timeout: float = 10.0) -> RawAnswer:
    return raw_exchange(server.host, server.port, request, timeout)


def url_in(answer: RawAnswer) -> str:
    match = re.search(rb'"url": "(?:http://[^/"]+)?(/files/tools/[^"]+)"', answer.body)
    assert match is not None
    return match[1].decode()


def file_id() -> str:
    match = re.search(rb'"related_id": "(.*?)"', recorded()[STREAM].body)
    assert match is not None
    return match[1].decode()


# What is told anew


def test_the_caller_gets_its_own_user_and_not_the_pseudonym(tmp_path: Path) -> None:
    with replaying(tmp_path, recorded()[STREAM]) as server:
        for user in ("bob", "用户 \\ 1"):
            end = fetch(server, request_of(STREAM, user)).body.split(b"\n\n")[-2]
            assert json.loads(end.removeprefix(b"data: "))["data"]["created_by"]["user"] == user


def test_a_recorded_picture_is_fetched_by_its_new_url(tmp_path: Path) -> None:
    """Its own bytes in the recorded pieces, under the id of the first replay and of any other
    one.
    """
    with replaying(tmp_path, recorded()[STREAM], picture_of(file_id())) as server:
        urls = [url_in(fetch(server, request_of(STREAM))) for _ in range(3)]
        answers = [fetch(server, got(url)) for url in urls]
    assert len({url[:50] for url in urls}) == 3
    for answer in answers:
        assert (answer.status, answer.header("content-type"), answer.body) == (
            200,
            "image/png",
            PNG,
        )
        assert [len(data) for _, data in answer.chunks] == [
            len(PNG) // 3,
            len(PNG) // 3,
            len(PNG) - 2 * (len(PNG) // 3),
        ]


def test_a_picture_has_its_head_alone_and_its_signature_checked(tmp_path: Path) -> None:
    with replaying(tmp_path, recorded()[STREAM], picture_of(file_id())) as server:
        url = url_in(fetch(server, request_of(STREAM)))
        head = fetch(server, got(url, method="HEAD"))
        wrong = fetch(server, got(url.replace("&nonce=", "&nonce=0")))
        old = re.sub(r"timestamp=\d+", "timestamp=1795330030", url)
        unsigned = fetch(server, got(url.partition("?")[0]))
        assert (head.status, head.body, head.header("content-type")) == (200, b"", "image/png")
        assert [wrong.status, fetch(server, got(old)).status, unsigned.status] == [403, 403, 400]


def test_a_picture_that_was_not_recorded_is_drawn(tmp_path: Path) -> None:
    with replaying(tmp_path, recorded()[STREAM]) as server:
        answers = [fetch(server, got(url_in(fetch(server, request_of(STREAM))))) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    prompt = placeholder(recorded()[STREAM], file_id()).prompt
    assert all(
        answer.body.startswith(b"\x89PNG") and prompt.encode() in answer.body for answer in answers
    )


def test_urls_have_the_files_url_before_them(tmp_path: Path) -> None:
    with replaying(
        tmp_path, recorded()[STREAM], flags=("--files-url", "http://files.example:8000")
    ) as server:
        answer = fetch(server, request_of(STREAM))
    assert (
        answer.body.count(b'"url": "http://files.example:8000/files/tools/')
        == answer.body.count(b"&sign=")
        > 0
    )


def test_absolute_urls_lead_to_the_host_that_was_requested(tmp_path: Path) -> None:
    absolute = with_text(
        recorded()[STREAM],
        lambda data: data.replace(b'"url": "/files', b'"url": "https://dify.example/files'),
    )
    with replaying(tmp_path, absolute) as server:
        answer = fetch(server, request_of(STREAM))
        assert b'"url": "http://fake.example/files/tools/' in answer.body
        assert b"dify.example" not in answer.body
        assert fetch(server, got(url_in(answer))).status == 200


def test_two_clients_never_share_a_task(tmp_path: Path) -> None:
    """The first replay has the recorded ids, each further one its own; what belongs to the host
    stays.
    """
    with replaying(tmp_path, recorded()[STREAM]) as server:
        bodies = [fetch(server, request_of(STREAM)).body.decode() for _ in range(3)]
    for field, different in (
        ("task_id", 3),
        ("workflow_run_id", 3),
        ("related_id", 3),
        ("workflow_id", 1),
    ):
        values = [set(re.findall(f'"{field}": "(.*?)"', body)) for body in bodies]
        assert all(len(one) == 1 for one in values)
        assert len(set.union(*values)) == different, field
    assert re.findall('"task_id": "(.*?)"', recorded()[STREAM].body.decode())[0] in bodies[0]


def test_a_renamed_id_is_known_when_it_comes_back(tmp_path: Path) -> None:
    """What was recorded of an id is found under the name that it has been given since."""
    upload = recorded()["upload_ok"]
    recorded_id = json.loads(upload.body)["id"]
    body = recorded()[BLOCK].request.body.replace(
        b'"prompt": "', f'"prompt": "{recorded_id} '.encode()
    )
    run = changed(
        BLOCK,
        request=replace(recorded()[BLOCK].request, body=body, headers=_with_length(BLOCK, body)),
    )
    with replaying(tmp_path, upload, run) as server:
        ids = [json.loads(fetch(server, _upload()).body)["id"] for _ in range(2)]
        prompt = json.loads(recorded()[BLOCK].request.body)["inputs"]["prompt"]
        answers = [fetch(server, request_of(BLOCK, prompt=f"{one} {prompt}")) for one in ids]
    assert ids[0] == recorded_id != ids[1]
    assert [answer.status for answer in answers] == [200, 200]


def _with_length(name: str, body: bytes) -> tuple[tuple[str, str], ...]:
    headers = recorded()[name].request.headers
    return tuple(
        (key, str(len(body)) if key == "Content-Length" else value) for key, value in headers
    )


def _upload() -> bytes:
    """The recorded upload, by another user and with another boundary."""
    request = recorded()["upload_ok"].request
    boundary = request.header("content-type", "").partition("boundary=")[2]
    body = request.body.replace(boundary.encode(), b"another-boundary").replace(
        b"alg123", b"somebody else"
    )
    head = (
        f"POST {request.target} HTTP/1.1\r\nHost: fake.example\r\nAuthorization: Bearer {KEY}\r\n"
    )
    head += "Content-Type: multipart/form-data; boundary=another-boundary\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_client_that_leaves_in_the_middle_of_its_upload_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    """Half a form is neither looked up nor passed on: the recorded answer waits for who sends all
    of it.
    """

    async def script(request: Incoming) -> None:
        await request.whole(b"{}")

    path = folder(tmp_path, recorded()["upload_ok"])
    files = sorted(path.rglob("*"))
    with scripted(script) as upstream:
        flags = ("--on-miss", "record", "--upstream", upstream.url, "--after-last", "miss", *_FLAGS)
        with server_process("--replay", str(path), "--speed", "instant", *flags) as server:
            with Connection(server.host, server.port) as connection:
                connection.send(_upload()[:-1])
            wait_until(lambda: "POST /v1/files/upload" in server.log.read_text())
            metrics = fetch(
                server, b"GET /__admin/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ).body.decode()
            whole = fetch(server, _upload())
            log = server.log.read_text()
        assert upstream.incoming == []
    assert "POST /v1/files/upload 499" in log
    assert "Traceback" not in log
    assert "fake_dify_requests_running 0.0" in metrics
    assert json.loads(whole.body)["id"] == json.loads(recorded()["upload_ok"].body)["id"]
    assert sorted(path.rglob("*")) == files


def test_with_a_seed_a_replay_repeats_itself(tmp_path: Path) -> None:
    path = folder(tmp_path, recorded()[STREAM])
    emitted = []
    for _ in range(2):
        with running_server(
            "--replay", str(path), *_FLAGS, "--speed", "instant", "--seed", "4"
        ) as server:
            answers = [fetch(server, request_of(STREAM)).body.decode() for _ in range(2)]
        emitted.append([re.findall("task_id.{40}|nonce=.{32}", answer) for answer in answers])
    assert emitted[0] == emitted[1]


# Rhythm


def _spread(name: str, *times: float) -> Recording:
    """The exchange ``name`` with its body in as many pieces as there are times."""
    body, count = recorded()[name].body, len(times)
    borders = [len(body) * index // count for index in range(count + 1)]
    chunks = tuple(
        Chunk(at, body[start:end])
        for at, start, end in zip(times, borders, borders[1:], strict=False)
    )
    return changed(name, chunks=chunks, seconds=times[-1])


def test_chunks_come_at_their_recorded_times(tmp_path: Path) -> None:
    """Cut where they were cut, in the middle of a frame too, and the speed divides the waiting."""
    recording = _spread(STREAM, 0.2, 1.0, 1.1, 2.4)
    with replaying(tmp_path, recording, flags=("--speed", "4")) as server:
        answer = fetch(server, request_of(STREAM))
    assert len(answer.chunks) == 4
    for (at_s, data), chunk in zip(answer.chunks, recording.chunks, strict=True):
        assert -0.002 < at_s - chunk.at_s / 4 < 0.25
        assert (
            abs(len(data) - len(chunk.data)) < 10
        )  # a pseudonym and the caller's user are not of the same length


def test_a_blocking_answer_takes_its_time_and_has_its_length(tmp_path: Path) -> None:
    with replaying(
        tmp_path, changed(BLOCK, chunks=_spread(BLOCK, 1.5).chunks), flags=("--speed", "5")
    ) as server:
        began = time.monotonic()
        answer = fetch(server, request_of(BLOCK, user="somebody with a longer name"))
    assert time.monotonic() - began > 0.29
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize("ended", ["cut", "client_left"])
@pytest.mark.parametrize("name", [STREAM, BLOCK])
def test_an_answer_that_broke_off_breaks_off(tmp_path: Path, ended: str, name: str) -> None:
    """Without the end of its body; the server serves on."""
    half = changed(name, chunks=_spread(name, 0.0, 0.1).chunks[:1], ended=ended)
    with replaying_process(tmp_path, half, recorded()["sib_info"]) as server:
        with pytest.raises(EOFError):
            fetch(server, request_of(name))
        assert fetch(server, got("/v1/info")).status == 200
        assert "Traceback" not in server.log.read_text()


def test_a_server_that_ends_does_not_wait_for_its_replays(tmp_path: Path) -> None:
    with replaying(tmp_path, _spread(STREAM, 0.0, 1000.0), flags=("--speed", "1")) as server:
        connection = Connection(server.host, server.port)
        connection.send(request_of(STREAM))
        next(connection.frames())
    with connection, pytest.raises(EOFError):
        connection.answer()


# Stopping


def _slow(name: str) -> Recording:
    """A run whose first half comes at once and whose end is far away."""
    return _spread(name, 0.01, 1000.0)


def _stop(server: RunningServer, task_id: str, user: str) -> RawAnswer:
    return fetch(server, posted(f"/v1/workflows/tasks/{task_id}/stop", {"user": user}))


def test_a_replayed_stream_is_stopped_by_its_own_user(tmp_path: Path) -> None:
    """Its frame is told to the end, then the run finishes as stopped, by the relation of times that
    every run keeps.
    """
    with (
        replaying(tmp_path, _slow(STREAM), flags=("--speed", "10")) as server,
        Connection(server.host, server.port) as connection,
    ):
        connection.send(request_of(STREAM, user="bob"))
        frames = connection.frames()
        emitted = [next(frames)[1]]
        task_id = json.loads(emitted[0].removeprefix(b"data: "))["task_id"]
        assert _stop(server, task_id, "eve").body == b'{"result": "success"}\n'
        assert _stop(server, task_id, "bob").body == b'{"result": "success"}\n'
        emitted += [frame for _, frame in frames]
    end = json.loads(emitted[-1].removeprefix(b"data: "))
    data = end["data"]
    assert (end["event"], data["status"], data["error"]) == (
        "workflow_finished",
        "stopped",
        "Workflow stopped.",
    )
    assert (data["outputs"], data["files"], data["created_by"]["user"]) == (None, [], "bob")
    assert -1.5 < data["finished_at"] - data["created_at"] - data["elapsed_time"] < 0.5
    assert data["total_steps"] == sum(b'"event": "node_started"' in frame for frame in emitted)
    whole = [
        json.loads(line[6:])["event"]
        for line in recorded()[STREAM].body.decode().split("\n\n")[:-1]
    ]
    assert [json.loads(frame[6:])["event"] for frame in emitted[:-1]] == whole[: len(emitted) - 1]
    assert list(data) == list(json.loads(recorded()[STREAM].body.split(b"\n\n")[-2][6:])["data"])


def test_of_two_replays_of_one_recording_only_the_named_one_is_stopped(tmp_path: Path) -> None:
    with (
        replaying(tmp_path, _slow(STREAM), flags=("--speed", "10")) as server,
        Connection(server.host, server.port) as one,
        Connection(server.host, server.port, timeout=1.0) as other,
    ):
        streams = []
        for connection in (other, one):
            connection.send(request_of(STREAM))
            streams.append(connection.frames())
        waiting, stopped = streams
        first = next(stopped)[1]
        assert next(waiting)[1] != first
        task_id = json.loads(first.removeprefix(b"data: "))["task_id"]
        assert _stop(server, task_id, "alg123").status == 200
        last = [frame for _, frame in stopped][-1]
        assert json.loads(last.removeprefix(b"data: "))["task_id"] == task_id
        assert b'"status": "stopped"' in last
        with pytest.raises(TimeoutError):
            list(waiting)


def test_a_replayed_blocking_call_is_stopped(tmp_path: Path) -> None:
    task_id = json.loads(recorded()[BLOCK].body)["task_id"]
    with replaying(
        tmp_path, changed(BLOCK, chunks=_spread(BLOCK, 1000.0).chunks), flags=("--speed", "10")
    ) as server:
        answers: list[RawAnswer] = []
        asking = threading.Thread(target=lambda: answers.append(fetch(server, request_of(BLOCK))))
        asking.start()
        deadline = time.monotonic() + 10
        while asking.is_alive() and time.monotonic() < deadline:
            _stop(server, task_id, "alg123")
        asking.join()
    output = json.loads(answers[0].body)
    assert (output["task_id"], output["data"]["status"], output["data"]["outputs"]) == (
        task_id,
        "stopped",
        None,
    )
    assert list(output["data"]) == list(json.loads(recorded()[BLOCK].body)["data"])


def test_a_finished_run_can_be_stopped_without_effect_and_an_unknown_one_is_a_miss(
    tmp_path: Path,
) -> None:
    with replaying(tmp_path, recorded()[STREAM]) as server:
        frame = fetch(server, request_of(STREAM)).body.split(b"\n\n")[0]
        assert _stop(server, json.loads(frame[6:])["task_id"], "alg123").status == 200
        assert _stop(server, "0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11", "alg123").status == 501


# Judged live


def test_keys_routes_and_kinds_are_checked_live(tmp_path: Path) -> None:
    flags = ("--app", "app-off000000000000000000000=disabled")
    with replaying(tmp_path, recorded()[STREAM], flags=flags) as server:
        assert fetch(server, request_of(STREAM, key="app-unknown")).status == 401
        assert fetch(server, request_of(STREAM, key="app-off000000000000000000000")).status == 404
        assert (
            fetch(server, got("/v1/nowhere")).header("content-type") == "text/html; charset=utf-8"
        )
        assert fetch(server, got("/v1/workflows/run")).status == 405
        assert fetch(server, got("/v1/workflows/run", method="OPTIONS")).status == 200
        assert fetch(server, got("/v1/datasets")).status == 401


def test_an_app_has_only_its_own_recordings(tmp_path: Path) -> None:
    key = "app-chat00000000000000000000"
    chat = with_body(changed("sib_info", app="chat"), b'{"name": "chat"}\n')
    with replaying(
        tmp_path, recorded()["sib_info"], chat, flags=("--app", f"{key}=chat")
    ) as server:
        of_main = fetch(server, got("/v1/info"))
        of_chat = fetch(server, got("/v1/info").replace(KEY.encode(), key.encode()))
    assert of_main.body == recorded()["sib_info"].body
    assert of_chat.body == b'{"name": "chat"}\n'


def test_a_recording_without_a_label_answers_every_app(tmp_path: Path) -> None:
    key = "app-chat00000000000000000000"
    with replaying(
        tmp_path, changed("sib_info", app=None), flags=("--app", f"{key}=chat")
    ) as server:
        for one in (KEY, key):
            assert fetch(server, got("/v1/info").replace(KEY.encode(), one.encode())).status == 200


def test_cors_is_granted_to_the_caller_and_the_rest_of_the_head_is_the_recorded_one(
    tmp_path: Path,
) -> None:
    """Where the recorded answer had it, in its place; a cookie and a header of the host's own come
    along.
    """
    headers = (*recorded()[STREAM].headers, ("X-Trace", "abc"), ("Vary", "Accept-Encoding"))
    with replaying(tmp_path, changed(STREAM, headers=headers)) as server:
        plain = fetch(server, request_of(STREAM))
        page = fetch(server, request_of(STREAM, headers="Origin: http://page.example\r\n"))
    of_the_connection = ("server", "date", "transfer-encoding", "connection")
    names = [name.lower() for name, _ in plain.headers if name.lower() not in of_the_connection]
    wanted = [
        "content-type",
        "access-control-allow-origin",
        "set-cookie",
        "x-version",
        "x-env",
        "x-trace",
        "vary",
    ]
    assert names == wanted
    assert plain.header("access-control-allow-origin") == "*"
    assert page.header("access-control-allow-origin") == "http://page.example"
    assert [value for name, value in page.headers if name.lower() == "vary"] == [
        "Origin",
        "Accept-Encoding",
    ]


def test_a_refused_request_never_answers_a_good_one(tmp_path: Path) -> None:
    """With the same body, recorded with a wrong key or refused by the proxy, in front of the good
    one.
    """
    with replaying(
        tmp_path, recorded()["auth_unknown"], recorded()["auth_two_headers"], recorded()[BLOCK]
    ) as server:
        assert fetch(server, request_of("auth_unknown")).status in (200, 501)
        assert fetch(server, request_of(BLOCK)).status == 200


# From the recorder


@pytest.mark.parametrize("mode", ["streaming", "blocking"])
def test_what_a_recorder_kept_comes_back(tmp_path: Path, mode: str) -> None:
    """A run and its picture, recorded through the proxy: equal to the byte but for what is signed
    and timed anew.
    """
    output = {"inputs": {"prompt": "一只猫"}, "response_mode": mode, "user": "alg123"}
    with (
        running_server("--speed", "50", *_FLAGS) as host,
        running_recorder(host.url, tmp_path / "to") as recorder,
    ):
        run = recorder.exchange(
            posted("/v1/workflows/run", output, headers="Connection: close\r\n")
        )
        picture = recorder.exchange(got(url_in(run), headers="Connection: close\r\n"))
        assert recorder.end() == 0
    with running_server("--replay", str(tmp_path / "to"), *_FLAGS, "--speed", "1") as replay:
        again = fetch(replay, posted("/v1/workflows/run", output))
        picture_again = fetch(replay, got(url_in(again)))
    constant = frozenset(re.findall("[0-9a-f]{8}-[0-9a-f-]{27}", run.body.decode()))
    assert normal(again.body.decode(), constant) == normal(run.body.decode(), constant)
    assert [len(data) for _, data in again.chunks] == [len(data) for _, data in run.chunks]
    assert (picture.status, picture_again.body) == (200, picture.body)


# Misses


def test_a_miss_says_that_the_replay_speaks_and_what_came_close(tmp_path: Path) -> None:
    with replaying(
        tmp_path, recorded()[STREAM], recorded()[BLOCK], recorded()["sib_info"]
    ) as server:
        answer = fetch(server, request_of(STREAM, prompt="a cat"))
    output = json.loads(answer.body)
    assert (answer.status, output["status"], output["code"]) == (501, 501, "replay_miss")
    assert "fake-server serve --replay" in output["message"]
    assert "--on-miss" in output["message"]
    assert output["nearest"][0]["recording"] == STREAM
    assert len(output["nearest"]) == 3
    difference = {
        "matcher": "body",
        "field": "/inputs/prompt",
        "recorded": '"一个胸有成竹的男人"',
        "asked": '"a cat"',
    }
    assert output["nearest"][0]["differences"] == [difference]
    assert "一个胸有成竹的男人".encode() in answer.body


def test_a_miss_writes_nothing_into_the_log_but_text(tmp_path: Path) -> None:
    forged = b"\x1b[2J\x1b]0;owned\x07\r\n18:00:00 POST /v1/workflows/run 200 forged\x9b"
    with replaying_process(tmp_path, recorded()[STREAM]) as server:
        assert fetch(server, posted("/v1/workflows/run", forged)).status == 501
        log = server.log.read_text()
    assert all(line.isprintable() for line in log.splitlines())
    assert "\n18:00:00" not in log


def test_a_long_body_that_misses_is_not_sent_back(tmp_path: Path) -> None:
    with replaying(tmp_path, recorded()[STREAM]) as server:
        answer = fetch(server, request_of(STREAM, prompt="a" * 60_000))
        longer = fetch(server, request_of(STREAM, prompt="a" * 1_000_000))
    assert answer.status == longer.status == 501
    assert max(len(answer.body), len(longer.body)) < 2000


def test_same_requests_get_the_answers_in_order_then_the_last_one_again(tmp_path: Path) -> None:
    infos = [with_body(recorded()["sib_info"], b'{"name": "%d"}\n' % number) for number in (1, 2)]
    with replaying(tmp_path / "repeat", *infos) as server:
        assert [fetch(server, got("/v1/info")).body[10:11] for _ in range(4)] == [
            b"1",
            b"2",
            b"2",
            b"2",
        ]
    with replaying(tmp_path / "miss", *infos, flags=("--after-last", "miss")) as server:
        answers = [fetch(server, got("/v1/info")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 501]
    assert "--after-last repeat" in json.loads(answers[2].body)["message"]


def test_the_fake_answers_a_miss_if_it_is_reported_to(tmp_path: Path) -> None:
    """With a run of its own, whose picture can be fetched, and with an upload, whose form has been
    read before.
    """
    with replaying(tmp_path, recorded()[STREAM], flags=("--on-miss", "fake")) as server:
        answer = fetch(server, request_of(STREAM, prompt="a cat"))
        assert answer.status == 200
        assert fetch(server, got(url_in(answer))).status == 200
        assert fetch(server, _upload()).status == 201
        assert fetch(server, request_of(STREAM)).body.startswith(recorded()[STREAM].body[:60])


def test_a_miss_is_forwarded(tmp_path: Path) -> None:
    """As it was asked; what was recorded is not, and nothing is written."""

    async def script(request: Incoming) -> None:
        await request.whole(request.body or b"picture", "Content-Type: text/plain\r\n")

    with scripted(script) as upstream:
        flags = ("--on-miss", "forward", "--upstream", upstream.url)
        with replaying(tmp_path, recorded()[STREAM], flags=flags) as server:
            missed = request_of(STREAM, prompt="a cat")
            assert fetch(server, missed).body == missed.partition(b"\r\n\r\n")[2]
            assert fetch(server, request_of(STREAM)).status == 200
            picture = (
                "/files/tools/0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11.png?timestamp=1&nonce=2&sign=3"
            )
            assert fetch(server, got(picture)).body == b"picture"
        assert [one.target for one in upstream.incoming] == ["/v1/workflows/run", picture]
    assert len(read_folder(tmp_path)) == 1


def test_a_miss_is_recorded_and_replayed_the_next_time(tmp_path: Path) -> None:
    async def script(request: Incoming) -> None:
        await request.whole(b'{"name": "from the host"}\n')

    with scripted(script) as upstream:
        flags = ("--on-miss", "record", "--upstream", upstream.url)
        with replaying(tmp_path, recorded()[STREAM], flags=flags) as server:
            assert fetch(server, got("/v1/info")).body == b'{"name": "from the host"}\n'
    with running_server("--replay", str(tmp_path), *_FLAGS) as server:
        assert fetch(server, got("/v1/info")).body == b'{"name": "from the host"}\n'
    written = "".join(path.read_text() for path in tmp_path.glob("*.yaml"))
    assert KEY not in written
    assert [one.app for one in read_folder(tmp_path)] == ["main", "main"]


def test_an_image_of_a_recorded_miss_is_recorded_once(tmp_path: Path) -> None:
    """Whoever comes first, the recorder or the client."""
    url = "/files/tools/0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11.png?timestamp=1&nonce=2&sign=3"

    async def script(request: Incoming) -> None:
        if request.target == url:
            await request.whole(PNG, "Content-Type: image/png\r\n")
        else:
            await request.whole(json.dumps({"url": url}).encode())

    with scripted(script) as upstream:
        flags = ("--on-miss", "record", "--upstream", upstream.url)
        with replaying(tmp_path, recorded()[STREAM], flags=flags) as server:
            fetch(server, got("/v1/info"))
            wait_until(lambda: len(list(tmp_path.glob("*.yaml"))) == 3)
            assert fetch(server, got(url)).body == PNG
    assert [one.request.path for one in read_folder(tmp_path)].count(url.partition("?")[0]) == 1


def test_an_upstream_that_cannot_be_reached_is_reported(tmp_path: Path) -> None:
    flags = ("--on-miss", "forward", "--upstream", "http://127.0.0.1:9")
    with replaying(tmp_path, recorded()[STREAM], flags=flags) as server:
        assert fetch(server, got("/v1/info")).status == 502


# A published client


def test_a_published_client_reads_the_replay_as_the_host(tmp_path: Path) -> None:
    """httpx with httpx-sse: the recorded events in their order, and the picture by the URL in the
    last of them.
    """
    import httpx
    from httpx_sse import connect_sse

    output = json.loads(recorded()[STREAM].request.body)
    with (
        replaying(tmp_path, recorded()[STREAM], picture_of(file_id())) as server,
        httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as client,
    ):
        with connect_sse(client, "POST", "/v1/workflows/run", json=output) as source:
            events = [event.json() for event in source.iter_sse() if event.event == "message"]
        picture = client.get(events[-1]["data"]["files"][0]["url"])
    whole = [json.loads(line[6:]) for line in recorded()[STREAM].body.decode().split("\n\n")[:-1]]
    assert [event["event"] for event in events] == [event["event"] for event in whole]
    assert [list(event["data"]) for event in events] == [list(event["data"]) for event in whole]
    assert picture.content == PNG
