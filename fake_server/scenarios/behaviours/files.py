"""Behaviours of an image: its URL in the run, and its bytes when they are downloaded."""

from __future__ import annotations

from typing import Annotated, Literal

from fake_server.images.faults import ImageFault
from fake_server.scenarios.behaviour import IMAGE, Scope, behaviour
from fake_server.scenarios.effects import Effects, InterceptedRequest, ResponseApp, UrlChange
from fake_server.scenarios.parameters import Bounds, ScenarioError, Seconds


@behaviour(excludes="url")
def null_url() -> Effects:
    """The url of every file is null.

    Complaint: the address of the host put before null makes http://hostnull, and the browser shows
    a broken image.
    Survive: check that url is a string before you build on it.
    """
    return Effects(url=(UrlChange(rewrite=lambda _: None),))


@behaviour(excludes="address")
def absolute_url(base: str | None = None) -> Effects:
    """The url of every file is absolute, as on a host with FILES_URL set: ``base`` is put before
    it.

    By default that is ``--files-url`` where it is set, else the address to which the run was sent
    (its Host header).

    Complaint: the client puts the host's address before every url, and gets
    http://hosthttp://host/files.
    Survive: resolve the url against the address of the host, as a browser does; that is right for
    both forms.
    """
    address = None if base is None else _address(base)
    return Effects(url=(UrlChange(base=lambda own: address or own),))


@behaviour(excludes="address")
def wrong_host(base: str = "http://files.invalid") -> Effects:
    """The url of every file is absolute and leads to a host that cannot be reached.

    Complaint: FILES_URL names the container, which only the container can reach.
    Survive: distinguish an image that cannot be downloaded from a run that failed, and show which
    address was tried.
    """
    address = _address(base)
    return Effects(url=(UrlChange(base=lambda own: address),))


@behaviour(excludes="url", scope=Scope.IMAGES)
def expired_url(age_s: Seconds = 301.0) -> Effects:
    """The url of every file was signed ``age_s`` seconds ago: rightly, but after 300 s the host
    rejects it.

    On a download it acts at once, whatever the url says.

    Complaint: images in yesterday's history are all gone; their links give 403.
    Survive: download the image at once and store it; the API has no way to sign again.
    """
    return Effects(url=(UrlChange(age_s=age_s),), responses=(_reject_download,))


@behaviour(excludes="url")
def unsigned_url() -> Effects:
    """The url of every file comes without its query, so that nothing is signed.

    Complaint: a middle layer took the query for tracking and cut it off.
    Survive: pass the url on as it is, query included; a 400 with params: timestamp means that it
    was lost.
    """
    return Effects(url=(UrlChange(rewrite=lambda url: url.partition("?")[0]),))


@behaviour(excludes="blob", scope=Scope.IMAGES, without_cors={})
def missing_blob() -> Effects:
    """The image is gone from the host's disk: its url is good, and the download ends as 502 with
    HTML.

    Complaint: storage was cleaned up; the database still knows the file (FACTS 6.3).
    Survive: a 502 on an image is not the client's fault and not worth retrying for ever.
    """
    return Effects(image_faults=(ImageFault("missing"),))


@behaviour(excludes="blob", scope=Scope.IMAGES)
def corrupt_png(how: Literal["truncated", "flipped", "html"] = "truncated") -> Effects:
    """The bytes of the image are not a whole PNG: cut off in the middle, with bits flipped, or an
    HTML page.

    Complaint: status 200 and image/png, and the decoder throws.
    Survive: decode before you report success; catch what the decoder throws.
    """
    return Effects(image_faults=(ImageFault("corrupt", (how,)),))


@behaviour(excludes="blob", scope=Scope.IMAGES)
def huge_png(
    side: Annotated[int, Bounds(1, 30_000)] = 16_000,
    megabytes: Annotated[int, Bounds(0, 1_000)] = 0,
) -> Effects:
    """The image is huge: ``side`` by ``side`` pixels in few bytes, with ``megabytes`` of padding
    where size counts.

    Complaint: an image of 256 million pixels takes a gigabyte once it is decoded, and the app with
    it.
    Survive: bound the bytes you read and the pixels you decode.
    """
    return Effects(image_faults=(ImageFault("white", (side, megabytes * 1_000_000)),))


def _address(base: str) -> str:
    if not base.startswith(("http://", "https://")) or base.endswith("/"):
        raise ScenarioError(
            f"{base!r} is not a valid base address: http(s)://host, without a slash at its end",
            "base",
        )
    return base


def _reject_download(request: InterceptedRequest) -> ResponseApp | None:
    if request.operation_id != IMAGE:
        return None
    return request.error_response(request.spec.errors("signature_refused"))
