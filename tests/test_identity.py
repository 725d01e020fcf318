"""Identity: with a seed and a frozen clock a server is a function of its requests; without a seed
nothing repeats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from fake_server.app import FakeServer, create_app
from fake_server.clock import Clock
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.asgi import AsgiAnswer, call, json_headers, run_body
from tests.serving import ROOT

RUN = "/v1/workflows/run"
NOW = 1_713_938_954.25
UPLOADER = "app-Uploader00000000000000000"
FILESIN = ROOT / "recordings/apps/filesin.yml"
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NONCE = re.compile(rb"nonce=([0-9a-f]{32})")

Step = Callable[[FakeServer], AsgiAnswer]


def server(seed: int | None, **settings: Any) -> FakeServer:
    """A server whose clock stands still; nothing waits."""
    clock = Clock()
    clock.freeze(NOW)
    return create_app(Settings(seed=seed, speed=None, **settings), clock)


def run(
    app: FakeServer, prompt: str = "a cat", mode: str = "blocking", **inputs: str
) -> AsgiAnswer:
    answer = call(app, "POST", RUN, json_headers(DEFAULT_API_KEY), run_body(prompt, mode, **inputs))
    assert answer.status == 200
    return answer


def picture_url(answer: AsgiAnswer) -> str:
    """The first signed URL of an answer."""
    found = re.search(rb"/files/tools/[^\"]+", answer.body)
    assert found is not None
    return found[0].decode()


def picture(app: FakeServer, answer: AsgiAnswer) -> bytes:
    fetched = call(app, "GET", picture_url(answer))
    assert fetched.status == 200
    assert fetched.body.startswith(b"\x89PNG")
    return fetched.body


def wire(answer: AsgiAnswer) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status, answer.headers, answer.body


SCRIPT: list[Step] = [
    run,
    lambda app: run(app, mode="streaming"),
    run,
    lambda app: run(app, "一只猫", model_name="dosmix_"),
    lambda app: run(app, user="someone else"),
    lambda app: call(app, "POST", RUN, json_headers(DEFAULT_API_KEY), run_body("")),
    lambda app: call(app, "GET", "/v1/parameters", json_headers(DEFAULT_API_KEY)),
]


@pytest.mark.parametrize("seed", [0, 1, -5])
def test_two_servers_with_a_seed_answer_byte_for_byte_the_same(seed: int) -> None:
    """The same requests in the same order: blocking, streaming, refusals and the pictures behind
    the URLs.
    """
    one, other = server(seed), server(seed)
    for ask in SCRIPT:
        first, second = ask(one), ask(other)
        assert wire(first) == wire(second)
        if b"/files/tools/" in first.body:
            assert picture(one, first) == picture(other, second)


def test_the_same_request_again_is_another_run() -> None:
    """A seed makes a server repeatable, not forgetful: ids, nonces and pictures of the second run
    are new.
    """
    app = server(1)
    first, second = run(app), run(app)
    assert not own_ids(first) & own_ids(second)
    assert not set(NONCE.findall(first.body)) & set(NONCE.findall(second.body))
    assert picture(app, first) != picture(app, second)


def own_ids(answer: AsgiAnswer) -> set[bytes]:
    """The ids of an answer that are not the deployment's."""
    return set(UUID.findall(answer.body)) - deployed()


@cache
def deployed() -> frozenset[bytes]:
    """The ids that two servers without a seed share."""
    return frozenset.intersection(
        *(frozenset(UUID.findall(run(server(None)).body)) for _ in range(2))
    )


def test_only_workflow_and_tenant_stay_the_same() -> None:
    """FACTS 8: they belong to the deployment, whatever the seed; all other ids belong to a run."""
    assert len(deployed()) == 2
    data = run(server(7)).json()["data"]
    assert {
        data["workflow_id"].encode(),
        data["outputs"]["files"][0]["tenant_id"].encode(),
    } == deployed()


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_without_a_seed_everything_is_new(mode: str) -> None:
    """Two servers, and two runs of one server, share no id, nonce or signature."""
    app = server(None)
    answers = [run(app, mode=mode), run(app, mode=mode), run(server(None), mode=mode)]
    for index, one in enumerate(answers):
        for other in answers[index + 1 :]:
            shared = own_ids(one) & own_ids(other)
            assert len(shared) == (
                1 if mode == "streaming" else 0
            )  # the end user of the same user string
            assert not set(NONCE.findall(one.body)) & set(NONCE.findall(other.body))


def test_other_requests_in_between_change_nothing_of_a_run() -> None:
    """With a seed a run depends on its own request and how-many-th it is; only the app's running
    number counts all.
    """
    alone, busy = server(1), server(1)
    for prompt in ("a dog", "a bird"):
        run(busy, prompt)
    first, second = run(alone), run(busy)
    assert first.body == second.body
    streamed = run(alone, mode="streaming").body, run(busy, mode="streaming").body
    numbers = [re.search(rb'"sequence_number": (\d+)', body) for body in streamed]
    assert [number and number[1] for number in numbers] == [b"2", b"4"]
    assert streamed[0].replace(b'"sequence_number": 2', b'"sequence_number": 4') == streamed[1]


def test_different_seeds_give_different_runs() -> None:
    """Ids, durations, tokens and pictures."""
    one, other = server(1), server(2)
    first, second = run(one), run(other)
    assert not own_ids(first) & own_ids(second)
    assert first.json()["data"]["elapsed_time"] != second.json()["data"]["elapsed_time"]
    assert picture(one, first) != picture(other, second)


def test_a_picture_is_the_same_each_time_it_is_fetched() -> None:
    """And by each of the URLs that lead to it."""
    app = server(1)
    answer = run(app, mode="streaming")
    urls = sorted({url.decode() for url in re.findall(rb"/files/tools/[^\"]+", answer.body)})
    assert len(urls) == 3
    assert len({call(app, "GET", url).body for url in [*urls, *urls]}) == 1


def test_a_speed_changes_no_value_of_a_run() -> None:
    """Only the waiting is divided: ids, durations and outputs stay, times of day are the
    clock's.
    """
    clock = Clock()
    clock.freeze(NOW)
    quick = create_app(Settings(seed=1, speed=1e9), clock)
    clock.resume()  # it waits a few nanoseconds
    instant, waited = run(server(1)).json(), run(quick).json()
    times = ("created_at", "finished_at", "outputs")
    assert {key: value for key, value in instant["data"].items() if key not in times} == {
        key: value for key, value in waited["data"].items() if key not in times
    }
    assert instant["task_id"] == waited["task_id"]
    assert (
        instant["data"]["outputs"]["files"][0]["related_id"]
        == waited["data"]["outputs"]["files"][0]["related_id"]
    )


def test_an_instant_run_ends_now() -> None:
    """It is back-dated by its own duration, so that nothing of it lies ahead of the clock."""
    data = run(server(1)).json()["data"]
    assert data["finished_at"] == int(NOW)
    assert -1.5 < data["finished_at"] - data["created_at"] - data["elapsed_time"] < 0.5
    assert f"timestamp={int(NOW)}" in data["outputs"]["files"][0]["url"]


@pytest.mark.parametrize("files_url", ["", "https://pictures.example", "http://127.0.0.1:6060"])
def test_a_url_begins_with_what_the_deployment_says(files_url: str) -> None:
    """FACTS 4: relative unless the host has a FILES_URL; what follows is the same."""
    url = run(server(1, files_url=files_url)).json()["data"]["outputs"]["files"][0]["url"]
    assert url == files_url + picture_url(run(server(1)))


@pytest.mark.parametrize("later_s", [5, 500])
def test_a_run_with_an_uploaded_file_does_not_depend_on_the_time(later_s: int) -> None:
    """The URL that shows the upload is signed when it is told, so it does not make the request
    another one.
    """
    first, second = (_start_with_a_file(NOW + seconds) for seconds in (0, later_s))
    assert first["task_id"] == second["task_id"]
    shown, shown_later = (message["data"]["inputs"]["sys.files"][0] for message in (first, second))
    for file, now in ((shown, NOW), (shown_later, NOW + later_s)):
        assert file["transfer_method"] == "local_file"
        assert file["url"].startswith(
            f"/files/{file['related_id']}/image-preview?timestamp={int(now)}&nonce="
        )


def _start_with_a_file(now: float) -> dict[str, Any]:
    """The first event of a run with an uploaded picture, at that time of an otherwise equal
    server.
    """
    clock = Clock()
    clock.freeze(now)
    app = create_app(Settings(seed=7, speed=None, apps=((UPLOADER, str(FILESIN)),)), clock)
    part = (
        'Content-Disposition: form-data; name="file"; filename="x.png"\r\nContent-Type: '
        "image/png\r\n\r\n."
    )
    user = 'Content-Disposition: form-data; name="user"\r\n\r\nu'
    form = f"--b\r\n{user}\r\n--b\r\n{part}\r\n--b--\r\n".encode()
    headers = {
        "Authorization": f"Bearer {UPLOADER}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    upload = call(app, "POST", "/v1/files/upload", headers, form)
    file = {"type": "image", "transfer_method": "local_file", "upload_file_id": upload.json()["id"]}
    body = {
        "inputs": {"prompt": "a cat"},
        "response_mode": "streaming",
        "user": "u",
        "files": [file],
    }
    answer = call(app, "POST", RUN, json_headers(UPLOADER), json.dumps(body).encode())
    message: dict[str, Any] = json.loads(answer.body.partition(b"\n")[0].removeprefix(b"data: "))
    return message


def test_a_url_is_not_signed_after_the_end_that_the_answer_tells() -> None:
    """Writing an answer takes a moment, and a second may begin in it; the clock here is 0.4 s
    further at each look.
    """
    ticks = iter(range(10_000))
    app = create_app(Settings(speed=None), Clock(wall=lambda: NOW + 0.4 * next(ticks)))
    for _ in range(20):
        answer = run(app)
        signed = re.search(rb"timestamp=(\d+)", answer.body)
        assert signed is not None
        assert 0 <= answer.json()["data"]["finished_at"] - int(signed[1]) <= 1
