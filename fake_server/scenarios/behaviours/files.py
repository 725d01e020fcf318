"""Behaviours of a picture: its URL as the run tells it, and its bytes when they are fetched."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fake_server.http.responses import Response
from fake_server.scenarios.behaviour import PICTURE, Scope, behaviour
from fake_server.scenarios.effects import Effects, InterceptedRequest, UrlSigning
from fake_server.scenarios.errors import ScenarioError
from fake_server.scenarios.parameters import Bounds, Seconds


@behaviour(excludes="url")
def null_url() -> Effects:
    """The url of every file is null.

    Complaint: the address of the host put before null makes http://hostnull, and the browser shows
    a broken picture. Survive: check that url is a text before you build on it.
    """
    return Effects(url=(UrlSigning(change=lambda _: None),))


@behaviour(excludes="address")
def absolute_url(base: str | None = None) -> Effects:
    """The url of every file is absolute, as on a host with FILES_URL set: ``base`` is put before
    it.

    By default that is ``--files-url`` where it is set, else the address to which the run was sent
    (its Host header). Complaint: the client puts the host's address before every url, and gets
    http://hosthttp://host/files. Survive: resolve the url against the address of the host, as a
    browser does; that is right for both forms.
    """
    address = None if base is None else _address(base)
    return Effects(url=(UrlSigning(base=lambda own: address or own),))


@behaviour(excludes="address")
def wrong_host(base: str = "http://files.invalid") -> Effects:
    """The url of every file is absolute and leads to a host that cannot be reached.

    Complaint: FILES_URL names the container, which only the container can reach.
    Survive: tell a picture that cannot be fetched from a run that failed, and show which address
    was tried.
    """
    address = _address(base)
    return Effects(url=(UrlSigning(base=lambda own: address),))


@behaviour(excludes="url", scope=Scope.PICTURES)
def expired_url(age_s: Seconds = 301.0) -> Effects:
    """The url of every file was signed ``age_s`` seconds ago: rightly, but after 300 s the host
    refuses it.

    A download that it befalls is refused at once, whatever its url says.
    Complaint: pictures in yesterday's history are all gone; their links answer 403.
    Survive: fetch the picture at once and keep it; the API has no way to sign again.
    """
    return Effects(url=(UrlSigning(age_s=age_s),), answer=(_refuse_picture,))


@behaviour(excludes="url")
def unsigned_url() -> Effects:
    """The url of every file comes without its query, so that nothing is signed.

    Complaint: a middle layer took the query for tracking and cut it off.
    Survive: pass the url on as it is, query included; a 400 with params: timestamp means that it
    was lost.
    """
    return Effects(url=(UrlSigning(change=lambda url: url.partition("?")[0]),))


@behaviour(excludes="blob", scope=Scope.PICTURES, without_cors={})
def missing_blob() -> Effects:
    """The picture is gone from the host's disk: its url is good, and the download ends as 502 with
    HTML.

    Complaint: storage was cleaned up; the database still knows the file (FACTS 6.3).
    Survive: a 502 on a picture is not the client's fault and not worth retrying for ever.
    """
    return Effects(blobs=(_Missing(),))


@behaviour(excludes="blob", scope=Scope.PICTURES)
def corrupt_png(how: Literal["truncated", "flipped", "html"] = "truncated") -> Effects:
    """The picture's bytes are no whole PNG: cut off in the middle, with bits flipped, or an HTML
    page.

    Complaint: status 200 and image/png, and the decoder throws.
    Survive: decode before you say that it is done; catch what the decoder throws.
    """
    return Effects(blobs=(_Corrupt(how),))


@behaviour(excludes="blob", scope=Scope.PICTURES)
def huge_png(
    side: Annotated[int, Bounds(1, 30_000)] = 16_000,
    megabytes: Annotated[int, Bounds(0, 1_000)] = 0,
) -> Effects:
    """The picture is huge: ``side`` by ``side`` pixels in few bytes, with ``megabytes`` of padding
    where size counts.

    Complaint: a picture of 256 million pixels takes a gigabyte once it is decoded, and the app with
    it. Survive: bound the bytes you read and the pixels you decode.
    """
    return Effects(blobs=(_Huge(side, megabytes),))


@dataclass(frozen=True, slots=True)
class _Missing:
    def spoil(self, png: Sequence[bytes]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Corrupt:
    how: str

    def spoil(self, png: Sequence[bytes]) -> Sequence[bytes]:
        if self.how == "html":
            return (b"<!doctype html>\n<title>This is no picture</title>\n",)
        whole = b"".join(png)
        half = len(whole) // 2
        if self.how == "truncated":
            return (whole[:half],)
        return (
            whole[:half],
            bytes(byte ^ 0xFF for byte in whole[half : half + 16]),
            whole[half + 16 :],
        )


@dataclass(frozen=True, slots=True)
class _Huge:
    side: int
    megabytes: int

    def spoil(self, png: Sequence[bytes]) -> Sequence[bytes]:
        return white_png(self.side, padding=self.megabytes * 1_000_000)


def white_png(side: int, padding: int) -> tuple[bytes, ...]:
    """A white square of ``side`` pixels at one bit each, with a chunk of ``padding`` zeros.

    In parts: the padding repeats one small buffer, so that any number of megabytes costs no memory.
    """
    packer = zlib.compressobj()
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    zeros = bytes(1 << 16)
    parts = [b"\x89PNG\r\n\x1a\n", *_png_chunk(b"IHDR", [header])]
    if padding:
        parts += _png_chunk(
            b"fkPd", [*[zeros] * (padding // len(zeros)), zeros[: padding % len(zeros)]]
        )
    return (*parts, *_png_chunk(b"IDAT", [pixels]), *_png_chunk(b"IEND", []))


def _png_chunk(kind: bytes, data: Sequence[bytes]) -> list[bytes]:
    checksum = zlib.crc32(kind)
    for part in data:
        checksum = zlib.crc32(part, checksum)
    head = struct.pack(">I", sum(map(len, data))) + kind
    return [head, *data, struct.pack(">I", checksum)]


def _address(base: str) -> str:
    if not base.startswith(("http://", "https://")) or base.endswith("/"):
        raise ScenarioError(f"{base!r} is no http(s) address without a slash at its end", ("base",))
    return base


def _refuse_picture(request: InterceptedRequest) -> Response | None:
    if request.operation_id != PICTURE:
        return None
    return request.error_response(request.spec.errors("signature_refused"))
