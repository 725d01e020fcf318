"""The signed URL of an image: its form, that it serves the image, and that no other form does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

from contract.check import Capability, Level, add_check, check
from contract.errors import error, expect_error, expect_status
from contract.evidence import (
    blocking,
    blocking_data,
    expect_same_image,
    fetch_file,
    image,
    image_url,
    lifetime_level,
    served_image,
)
from contract.request_checks import expect_allow, expect_words
from contract.result import NotRun, expect, expect_equal, expect_version
from contract.signature import URL_FORM, SignedUrl, file_request, other_digit, parse_url
from contract.target import Target, files_within
from contract.trace import shared_trace
from dify_wire.exchange import Exchange, Request
from dify_wire.profile import Profile, profiles

_BAD_URL = error("signature_refused")

_VALID_S = 300
_YEAR_S = 365 * 86400
_METHODS = "GET HEAD OPTIONS"
_CACHING = (
    *("ETag", "Last-Modified", "Cache-Control"),
    *("Accept-Ranges", "Content-Disposition", "Expires"),
)
_SERVED = ("url_serves_the_image_without_a_key",)
_SIGNED = ("urls_are_signed_by_the_recipe", *_SERVED)
_ENDED_BEFORE_S = 2
"""The URL is signed when its End node finishes, the run a moment later: a second may have passed,
at worst two.
"""


def _expect_served(target: Target, request: Request) -> Exchange:
    """Send ``request``; raise ``Failed`` unless the response has the image, as the first one."""
    served_image(target)
    response = target.send(request)
    expect_status(response, 200)
    expect_same_image(target, response)
    return response


# Form
# -------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT, "document lines 59 and 75; openapi.yaml#/components/schemas/File/properties/url"
)
def url_has_the_documents_form(target: Target) -> None:
    """url is /files/tools/<uuid>.<extension>?timestamp=…&nonce=…&sign=…, relative, or absolute
    where so configured.
    """
    file = next(files_within(blocking_data(target).get("outputs")), None)
    if file is None:
        raise NotRun("the blocking run has no file", blocking(target))
    url = file.get("url")
    expect(isinstance(url, str) and parse_url(url) is not None, URL_FORM, url, blocking(target))


@check(
    Level.DOCUMENT,
    "document lines 59 and 75 (the URL is joined with the base address)",
    follows_from=("url_has_the_documents_form",),
)
def url_leads_to_the_host_itself(target: Target) -> None:
    """Every URL is relative, so that the base address completes it; absolute where --files-url says
    so.
    """
    base = (target.capabilities.files_url or "").rstrip("/")
    expected = f"{base}/files/…" if base else "a relative URL, /files/…"
    hint = "a client joins it with the base address; a host with FILES_URL needs --files-url"
    for url, exchange in _urls_of_both_runs(target):
        leads_here = isinstance(url, str) and url.startswith(f"{base}/files/")
        expect(leads_here, expected, url, exchange, "" if base else hint)


def _urls_of_both_runs(target: Target) -> Iterator[tuple[object, Exchange]]:
    """Each URL with its exchange. Raises ``NotRun`` where a run has none."""
    urls = [file.get("url") for file in files_within(blocking_data(target).get("outputs"))]
    yield from ((url, blocking(target)) for url in urls)
    trace = shared_trace(target)
    streamed = [file.get("url") for file in trace.files()]
    yield from ((url, trace.exchange) for url in streamed)
    if not (urls and streamed):
        raise NotRun("a run has no file", trace.exchange if urls else blocking(target))


@check(Level.HOST, "FACTS 4")
def url_is_signed_when_the_run_ends(target: Target) -> None:
    """timestamp in the URL is finished_at, or the second before it."""
    finished_at = blocking_data(target).get("finished_at")
    timestamp = int(image_url(target).timestamp)
    if type(finished_at) is not int:
        raise NotRun("the run has no time of its end", blocking(target))
    in_time = 0 <= finished_at - timestamp <= _ENDED_BEFORE_S
    expect(in_time, f"timestamp {finished_at} or a second less", timestamp, blocking(target))


# Requests that are served
# -------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT,
    "document line 75; openapi.yaml#/paths/~1files~1tools~1{file_id}.{extension}",
    settles=True,
    follows_from=("url_has_the_documents_form",),
)
def url_serves_the_image_without_a_key(target: Target) -> None:
    """The URL joined to the host's address gets status 200 and a body, without any
    authorization.
    """
    response = image(target)
    expect_status(response, 200)
    expect(len(response.body) > 0, "a body", "no byte", response)


def _with_headers(*headers: tuple[str, str]) -> Callable[[SignedUrl], Request]:
    return lambda url: Request("GET", url.path, headers)


def _serves(
    name: str, claim: str, request: Callable[[SignedUrl], Request], source: str = "FACTS 6.2"
) -> None:
    """A check that the host serves the image for another form of its URL."""

    def run(target: Target) -> None:
        _expect_served(target, request(image_url(target)))

    add_check(name, claim, Level.HOST, source, run)


# fmt: off
_serves("url_serves_the_same_bytes_again",
        "A URL is not used up: a second request gets the same bytes.", file_request)
_serves("order_of_parameters_is_free", "timestamp, nonce and sign may come in any order.",
        lambda url: file_request(url, url.query("sign", "nonce", "timestamp")))
_serves("other_parameters_are_ignored", "A parameter that the host does not know changes nothing.",
        lambda url: file_request(url, f"width=1&{url.query()}&v=2"))
_serves("sign_may_be_percent_encoded", "The = at the end of sign may be sent as %3D.",
        lambda url: file_request(url.but(sign=url.sign.replace("=", "%3D"))), "FACTS 6.1")
_serves("file_id_may_be_in_upper_case", "The id in the URL may be written in upper case.",
        lambda url: file_request(url.but(file_id=url.file_id.upper())))
_serves("range_is_ignored", "A Range header gets the whole image.",
        _with_headers(("Range", "bytes=0-99")))
_serves("conditions_are_ignored", "If-None-Match and If-Modified-Since get the whole image.",
        _with_headers(("If-None-Match", "*"),
                      ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")))
# fmt: on


@check(Level.HOST, "FACTS 6.2")
def key_does_no_harm_to_a_url(target: Target) -> None:
    """The URL serves the same with the app's key in the request."""
    _expect_served(target, target.get_request(image_url(target).path))


@check(Level.HOST, "FACTS 5.6", follows_from=_SERVED)
def every_url_of_a_stream_serves_one_image(target: Target) -> None:
    """However often a stream signs a file, each of its URLs works, and serves the same bytes."""
    trace = shared_trace(target)
    urls = {
        url: file.get("related_id")
        for file in trace.files()
        if (url := parse_url(str(file.get("url"))))
    }
    if not urls:
        raise NotRun("the stream has no signed URL", trace.exchange)
    bodies: dict[object, bytes] = {}
    for url, file_id in urls.items():
        response = fetch_file(target, url)
        expect_status(response, 200)
        same = bodies.setdefault(file_id, response.body) == response.body
        expect(same, "the same bytes", "others", response)


@check(Level.HOST, "FACTS 6.2")
def first_of_two_parameters_counts(target: Target) -> None:
    """Of a parameter given twice the first counts: a good sign before a bad one serves, after it it
    does not.
    """
    url = image_url(target)
    bad, whole = f"sign={other_digit(url.sign)}", url.query()
    _expect_served(target, file_request(url, f"{whole}&{bad}"))
    expect_error(target.send(file_request(url, f"{bad}&{whole}")), _BAD_URL, target.basis)


@check(Level.HOST, "FACTS 6.1 and 6.2")
def extension_is_not_signed(target: Target) -> None:
    """Any extension serves the same bytes with the stored content type."""
    for extension in ("jpg", "tar.gz"):
        response = _expect_served(target, file_request(image_url(target), extension=extension))
        expect_equal(response.media_type, image(target).media_type, "media type", response)


@check(Level.VERSION, "FACTS 6.2 and 9.1")
def as_attachment_names_the_file_as_the_host_does(target: Target) -> None:
    """as_attachment gets the Content-Disposition of the host's version; up to 0.6 it changes
    nothing.
    """
    url = image_url(target)
    response = _expect_served(target, file_request(url, f"{url.query()}&as_attachment=true"))
    got = response.header("Content-Disposition")

    def start(profile: Profile) -> str | None:
        form = profile.fact("files.disposition")
        return form and str(form).partition("{name}")[0]

    starts = [start(profile) for profile in profiles().values()]
    fits = [one for one in starts if one and (got or "").startswith(one)]
    form = max(fits, key=len) if fits else got
    expect_version(form, start, "Content-Disposition", target.basis, response)


# Methods and headers
# -------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 6.2")
def file_url_is_read_only(target: Target) -> None:
    """POST, PUT and DELETE are 405, and Allow names what is possible."""
    for method in ("POST", "PUT", "DELETE"):
        response = fetch_file(target, image_url(target), method)
        expect_error(response, error("method_not_allowed"), target.basis)
        expect_allow(response, _METHODS, target)


@check(Level.HOST, "FACTS 6.2", follows_from=_SERVED)
def head_of_a_url_is_its_get_without_a_body(target: Target) -> None:
    """HEAD has the status and content type of GET, and no body; it checks the signature as GET
    does.
    """
    url = image_url(target)
    response = fetch_file(target, url, "HEAD")
    expect_status(response, 200)
    expect_equal(response.media_type, image(target).media_type, "media type", response)
    expect_equal(response.body, b"", "body", response)
    changed = fetch_file(target, url.but(sign=other_digit(url.sign)), "HEAD")
    expect_equal(changed.status, 403, "status with a changed sign", changed)


@check(Level.HOST, "FACTS 6.2")
def options_of_a_url_name_its_methods(target: Target) -> None:
    """OPTIONS gets 200, an empty body and Allow."""
    response = fetch_file(target, image_url(target), "OPTIONS")
    expect_status(response, 200)
    expect_equal(response.body, b"", "body", response)
    expect_words(response, "Allow", _METHODS)


@check(Level.VERSION, "FACTS 6.2 and 9.1")
def image_has_a_length_where_the_host_sends_one(target: Target) -> None:
    """An image has no Content-Length up to 0.6; later versions send it, and then it is true."""
    response = image(target)
    length = str(len(response.body))

    def stated(profile: Profile) -> str | None:
        return length if profile.fact("files.content_length") else None

    expect_version(
        response.header("content-length"), stated, "Content-Length", target.basis, response
    )


@check(Level.DEPLOYMENT, "FACTS 6.2")
def image_has_no_caching_headers(target: Target) -> None:
    """An image comes without ETag, Last-Modified, Cache-Control, Accept-Ranges and
    Content-Disposition.
    """
    response = image(target)
    got = {name: value for name in _CACHING if (value := response.header(name)) is not None}
    why = "something between may have added them"
    expect(not got, "no caching headers", got, response, why, level=Level.DEPLOYMENT)


# With the host's secret
# -------------------------------------------------------------------------------------------------


def _signed(target: Target, age_s: int | None = None, **parts: str) -> Request:
    """A request of the image's URL with some parts changed, signed with the host's secret;
    ``age_s`` ago by the host's clock where it is given.
    """
    if age_s is not None:
        parts["timestamp"] = str(_host_now(target) - age_s)
    return file_request(image_url(target).signed(str(target.capabilities.secret), **parts))


def _host_now(target: Target) -> int:
    """The host's clock, by the Date of the image's response; ours where it has none."""
    response = image(target)
    try:
        then = parsedate_to_datetime(response.header("date") or "").timestamp()
    except ValueError:
        return int(time.time())
    return int(then + time.time() - response.sent_at)


@check(Level.HOST, "FACTS 6.1", Capability.SECRET)
def urls_are_signed_by_the_recipe(target: Target) -> None:
    """sign is the padded base64url HMAC-SHA256 of "file-preview|uuid|timestamp|nonce", keyed with
    the secret.
    """
    url = image_url(target)
    ours = url.signed(str(target.capabilities.secret)).sign
    alike = len(url.sign) == len(ours)
    got = "another one of that form; is it another secret?" if alike else "one of another form"
    expect(url.sign == ours, "the sign that the given secret makes", got, blocking(target))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET)
def url_of_last_year_is_403(target: Target) -> None:
    """A rightly signed URL of last year is refused."""
    expect_error(target.send(_signed(target, _YEAR_S)), _BAD_URL, target.basis)


@check(Level.HOST, "FACTS 6.3 and 9.1", Capability.SECRET)
def url_expires_after_300_seconds(target: Target) -> None:
    """A rightly signed URL of 301 s ago is refused; versions after 0.6 let a deployment choose
    another time.
    """
    chunks = image(target).chunks
    late_s = int(chunks[0].at_s) if chunks else 0  # the Date may be so much younger
    response = target.send(_signed(target, late_s + _VALID_S + 1))
    expect(
        response.status == 403,
        "status 403",
        response.status,
        response,
        level=lifetime_level(target),
    )


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def url_is_valid_for_290_seconds(target: Target) -> None:
    """A rightly signed URL of 290 s ago serves the image."""
    _expect_served(target, _signed(target, _VALID_S - 10))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def url_of_the_future_is_valid(target: Target) -> None:
    """A rightly signed URL of the next hour serves the image."""
    _expect_served(target, _signed(target, -3600))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def signed_text_as_timestamp_is_400(target: Target) -> None:
    """A rightly signed timestamp that is not a number is refused in Python's words."""
    expected = error("value_error", message="invalid literal for int() with base 10: 'abc'")
    expect_error(target.send(_signed(target, timestamp="abc")), expected, target.basis)


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def signed_unknown_file_is_415(target: Target) -> None:
    """A rightly signed URL of a file that is not there is refused as a file type (so the host
    says).
    """
    request = _signed(target, file_id=str(uuid.uuid4()))
    expect_error(target.send(request), error("file_unknown"), target.basis)
