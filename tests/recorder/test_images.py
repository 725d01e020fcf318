"""The picture behind each URL: found however the answer is cut or escaped, fetched once, and never
from elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fake_server.recorder.images import MOST_WAITING, ImageFetcher, UrlFinder, is_text
from fake_server.recorder.upstream import Upstream, image_path
from tests.recorder.upstreams import Incoming, get, post, running_recorder, scripted

pytestmark = pytest.mark.server

FILE = "/files/tools/8f09c7ed-6f0b-4339-ba55-9bb16b31ad19.png"
OTHER = "/files/tools/f6d3203c-6b63-4edb-9a32-d364c91f7728.png"
SIGN = "PlantedSignaturePlantedSignaturePlantedSig1="
QUERY = f"?timestamp=1713939072&nonce=0123456789abcdef0123456789abcdef&sign={SIGN}"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


# Finding


@pytest.mark.parametrize(
    ("body", "url"),
    [
        (json.dumps({"url": FILE + QUERY}), FILE + QUERY),
        (json.dumps({"url": "http://h:1" + FILE + QUERY}), "http://h:1" + FILE + QUERY),
        (
            json.dumps({"url": FILE + QUERY}).replace("/", r"\/").replace("&", r"\u0026"),
            FILE + QUERY,
        ),
        (f"![]({FILE}{QUERY})", FILE + QUERY),
        (FILE + QUERY, FILE + QUERY),
        (f'{{"text": "\\n{FILE}{QUERY}\\n"}}', FILE + QUERY),
    ],
    ids=["relative", "absolute", "escaped", "markdown", "bare", "in a text"],
)
def test_url_is_found_wherever_the_body_is_cut(body: str, url: str) -> None:
    data = body.encode()
    for cut in range(len(data) + 1):
        finder = UrlFinder()
        assert finder.add(data[:cut]) + finder.add(data[cut:]) + finder.end() == [url]


def test_url_is_found_byte_by_byte_and_once_for_each_place() -> None:
    finder = UrlFinder()
    data = json.dumps([FILE + QUERY, OTHER + QUERY]).encode()
    found = [url for byte in data for url in finder.add(bytes([byte]))]
    assert found + finder.end() == [FILE + QUERY, OTHER + QUERY]


@pytest.mark.parametrize(
    "body", [FILE, FILE + "?", "/files/tools/x.png" + QUERY, "", "/files/" * 5000]
)
def test_what_is_no_signed_url_is_not_found(body: str) -> None:
    finder = UrlFinder()
    assert finder.add(body.encode()) + finder.end() == []


def test_which_bodies_and_requests_are_looked_at() -> None:
    assert is_text("text/event-stream; charset=utf-8")
    assert is_text("Application/JSON")
    assert is_text("application/problem+json")
    assert not is_text("image/png")
    assert image_path(FILE + QUERY) == FILE
    assert image_path("/v1/workflows/run") is None


# Fetching


async def _host(incoming: Incoming) -> None:
    """Runs that name the picture of their path, and the pictures."""
    if incoming.target.startswith("/files/tools/"):
        await incoming.whole(PNG, "Content-Type: image/png\r\n")
    elif incoming.target == "/elsewhere":
        await incoming.whole(json.dumps({"url": f"http://elsewhere.invalid{FILE}{QUERY}"}).encode())
    elif incoming.target == "/absolute":
        await incoming.whole(
            json.dumps({"url": f"http://{incoming.header('host')}{FILE}{QUERY}"}).encode()
        )
    else:
        await incoming.stream()
        for _ in range(2):
            await incoming.chunk(f'data: {{"url": "{FILE}{QUERY}"}}\n\n'.encode())
        await incoming.chunk(f"data: {OTHER}{QUERY}\n\n".encode())
        await incoming.send(b"0\r\n\r\n")


def test_each_picture_is_fetched_once_and_recorded(tmp_path: Path) -> None:
    """Named three times, in two runs; the end of the recorder does not wait for the client's
    moment.
    """
    with scripted(_host) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        for _ in range(2):
            recorder.exchange(post("/run", b"{}"))
        assert recorder.end() == 0
        assert "2 exchanges, 2 images, 0 lost." in recorder.output()
        targets = [incoming.target for incoming in upstream.incoming]
    assert sorted(targets[2:]) == [FILE + QUERY, OTHER + QUERY]
    pictures = recorder.recorded()[2:]
    assert sorted(one.request.path for one in pictures) == [FILE, OTHER]
    assert all(one.body == PNG and one.note == "fetched by the recorder" for one in pictures)
    run = recorder.recorded()[0]
    assert (
        run.body.count(
            next(one for one in pictures if one.request.path == FILE).request.target.encode()
        )
        == 2
    )


def test_picture_that_the_client_fetches_is_not_fetched_again(tmp_path: Path) -> None:
    with scripted(_host) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(post("/absolute", b"{}"))
        assert recorder.exchange(get(FILE + QUERY)).body == PNG
        assert recorder.end() == 0
        assert len(upstream.incoming) == 2
    assert [one.note for one in recorder.recorded()] == ["", ""]


def test_picture_that_the_client_did_not_get_is_fetched(tmp_path: Path) -> None:
    """Be it that the host refused the client's URL, or that the connection broke."""
    tried: list[str] = []

    async def script(incoming: Incoming) -> None:
        tried.append(incoming.target)
        if incoming.target.endswith("x"):
            await incoming.whole(b"{}", status="403 FORBIDDEN")
        elif len(tried) == 3:
            await incoming.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nhalf"
            )
            incoming.writer.close()
            raise ConnectionError
        else:
            await _host(incoming)

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(post("/absolute", b"{}"))
        assert recorder.exchange(get(FILE + QUERY + "x")).status == 403
        with pytest.raises(EOFError):
            recorder.exchange(get(FILE + QUERY))
        assert recorder.end() == 0
        assert "3 exchanges, 1 image, 0 lost." in recorder.output()
    assert tried[1:] == [FILE + QUERY + "x", FILE + QUERY, FILE + QUERY]
    assert [(one.ended, one.status) for one in recorder.recorded()] == [
        ("complete", 200),
        ("complete", 403),
        ("cut", 200),
        ("complete", 200),
    ]
    assert recorder.recorded()[3].body == PNG


def test_nothing_is_fetched_where_that_is_not_wanted(tmp_path: Path) -> None:
    with (
        scripted(_host) as upstream,
        running_recorder(upstream.url, tmp_path / "to", "--no-fetch-images") as recorder,
    ):
        recorder.exchange(post("/run", b"{}"))
        assert recorder.end() == 0
        assert len(upstream.incoming) == 1


def test_no_other_host_is_ever_requested(tmp_path: Path) -> None:
    """It is reported instead, as a loss."""
    with scripted(_host) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(post("/elsewhere", b"{}"))
        assert recorder.end() == 1
        assert f"{FILE} is not recorded: its URL leads to elsewhere.invalid" in recorder.output()
        assert "1 images not fetched" in recorder.output()
        assert len(upstream.incoming) == 1


def test_picture_that_cannot_be_fetched_disturbs_nothing_and_is_counted(tmp_path: Path) -> None:
    async def script(incoming: Incoming) -> None:
        if incoming.target.startswith("/files/"):
            incoming.writer.close()
            raise ConnectionError
        await _host(incoming)

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(post("/absolute", b"{}"))
        assert recorder.end() == 1
        assert (
            f"{FILE} is not recorded: {upstream.url} closed the connection without a response"
            in recorder.output()
        )
        assert "1 exchange, 0 images, 0 lost, 1 images not fetched." in recorder.output()


def test_image_is_fetched_before_its_url_expires_and_recorded_once(tmp_path: Path) -> None:
    """After the time that the client has, while the recorder goes on."""
    with scripted(_host) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(post("/absolute", b"{}"))
        recorder.written(2)
        assert recorder.exchange(get(FILE + QUERY)).body == PNG
        assert recorder.end() == 0
        assert "1 exchange, 1 image, 0 lost." in recorder.output()
        assert len(upstream.incoming) == 3


def test_pictures_that_clients_fetch_are_counted_as_pictures(tmp_path: Path) -> None:
    with scripted(_host) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        for target in (FILE + QUERY, OTHER + QUERY):
            recorder.exchange(get(target))
        assert recorder.end() == 0
        assert "0 exchanges, 2 images, 0 lost." in recorder.output()


_ODD_ORIGINS = [
    b"http://[your-host]",
    b"http://[",
    b"http://caf\xe9",
    b"http://h:port",
    b"http://[::1",
    b"\xff",
    b"",
]


@pytest.mark.parametrize("origin", _ODD_ORIGINS)
def test_url_of_any_kind_disturbs_no_stream(tmp_path: Path, origin: bytes) -> None:
    """It passes as it came and is kept; the exit code says that the image is missing."""
    frames = [b"data: " + origin + (FILE + QUERY).encode() + b"\n\n", b"data: end\n\n"]

    async def script(incoming: Incoming) -> None:
        if incoming.target.startswith("/files/"):
            await incoming.whole(b"{}", status="404 NOT FOUND")
            return
        await incoming.stream()
        for frame in frames:
            await incoming.chunk(frame)
        await incoming.send(b"0\r\n\r\n")

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        assert recorder.exchange(post("/run", b"{}")).body == b"".join(frames)
        assert recorder.end() == 1
        assert "1 images not fetched" in recorder.output()
        assert "Traceback" not in recorder.output()
    assert recorder.recorded()[0].ended == "complete"
    assert recorder.recorded()[0].body.endswith(b"data: end\n\n")


def test_images_that_wait_are_bounded() -> None:
    async def add() -> int:
        images = ImageFetcher(Upstream("http://h:1", 1.0), None, client_first_s=60)
        for number in range(MOST_WAITING + 1):
            images.add(f"/files/tools/{number:036}.png{QUERY}")
            assert images.failed == (number == MOST_WAITING)
        return images.failed

    assert asyncio.run(add()) == 1
