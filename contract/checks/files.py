"""The signed URL of a picture: its form, that it works, and that it works in no other form."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from contract.check import Capability, Level, check
from contract.errors import Error, error, expect_error
from contract.evidence import blocking, blocking_data, fetch_file, image, image_url
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.shape import files_within, has_files_of_0_6
from contract.signature import SignedUrl, parse_url
from contract.target import Target
from contract.trace import shared_trace
from dify_wire.exchange import Exchange, Request

_BAD_URL = error("signature_refused")
_FILE_TYPE = error("file_unknown")
_NO_METHOD = error("method_not_allowed")

_VALID_S = 300
_YEAR_S = 365 * 86400
_METHODS = {"GET", "HEAD", "OPTIONS"}
_CACHING = (
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Accept-Ranges",
    "Content-Disposition",
    "Expires",
)
_SERVED = ("url_serves_the_image_without_a_key",)
_SIGNED = ("urls_are_signed_by_the_recipe", *_SERVED)
_ENDED_BEFORE_S = 2
"""The URL is signed when its End node finishes, the run a moment later: a second may have passed,
at worst two.
"""


def _ask(
    target: Target, url: SignedUrl, query: str | None = None, extension: str | None = None
) -> Exchange:
    """Ask for ``url`` without a key, with another query or another extension where they are
    given.
    """
    path = f"/files/tools/{url.file_id}.{extension or url.extension}"
    asked = url.path.partition("?")[2] if query is None else query
    return target.send(Request("GET", f"{path}?{asked}" if asked else path))


def _query(url: SignedUrl, *names: str) -> str:
    """The parameters of those names, in that order."""
    values = {"timestamp": url.timestamp, "nonce": url.nonce, "sign": url.sign}
    return "&".join(f"{name}={values[name]}" for name in names)


def _expect_served(target: Target, answer: Exchange) -> None:
    """The picture, all of it, as at the first time."""
    first = image(target)
    if first.status != 200:
        raise NotRun("the picture's own URL does not serve it", first)
    expect(
        answer.status == 200, "status 200", answer.status or f"no answer: {answer.failure}", answer
    )
    same = answer.body == first.body
    expect(same, f"the same {len(first.body)} bytes", f"{len(answer.body)} bytes", answer)


def _tampered(target: Target, **parts: str) -> Exchange:
    """What the host says to the picture's URL with some parts changed and the signature left as it
    was.
    """
    return fetch_file(target, image_url(target).but(**parts))


def _other_digit(text: str) -> str:
    """``text`` with another first character of the same alphabet."""
    return ("1" if text[0] != "1" else "2") + text[1:]


# Form
# ----------------------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT, "document lines 59 and 75; openapi.yaml#/components/schemas/File/properties/url"
)
def url_has_the_documents_form(target: Target) -> None:
    """url is /files/tools/<uuid>.<extension>?timestamp=…&nonce=…&sign=…, relative, or absolute
    where so configured.
    """
    file = next(files_within(blocking_data(target).get("outputs")), None)
    if file is None:
        raise NotRun("the blocking run has no file to judge", blocking(target))
    url = file.get("url")
    form = "/files/tools/<uuid>.<extension>?timestamp=…&nonce=…&sign=…"
    expect(isinstance(url, str) and parse_url(url) is not None, form, url, blocking(target))


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
    why = (
        ""
        if base
        else "a client joins it with the base address; a host with FILES_URL needs --files-url"
    )
    for url, exchange in _urls_of_both_runs(target):
        expect(
            isinstance(url, str) and url.startswith(f"{base}/files/"), expected, url, exchange, why
        )


def _urls_of_both_runs(target: Target) -> Iterator[tuple[object, Exchange]]:
    """Each URL and the exchange that it stands in. Raises ``NotRun`` where a run has none."""
    urls = [file.get("url") for file in files_within(blocking_data(target).get("outputs"))]
    yield from ((url, blocking(target)) for url in urls)
    trace = shared_trace(target)
    streamed = [file.get("url") for one in trace.events for file in files_within(one.data)]
    yield from ((url, trace.exchange) for url in streamed)
    if not (urls and streamed):
        raise NotRun("a run has no file to judge", trace.exchange if urls else blocking(target))


@check(Level.HOST, "FACTS 4")
def url_is_signed_when_the_run_ends(target: Target) -> None:
    """timestamp in the URL is finished_at, or the second before it."""
    finished_at = blocking_data(target).get("finished_at")
    timestamp = int(image_url(target).timestamp)
    if type(finished_at) is not int:
        raise NotRun("the run tells no time of its end", blocking(target))
    in_time = 0 <= finished_at - timestamp <= _ENDED_BEFORE_S
    expect(in_time, f"timestamp {finished_at} or a second less", timestamp, blocking(target))


# It works
# ------------------------------------------------------------------------------------------------------------


@check(
    Level.DOCUMENT,
    "document line 75; openapi.yaml#/paths/~1files~1tools~1{file_id}.{extension}",
    settles=True,
    follows_from=("url_has_the_documents_form",),
)
def url_serves_the_image_without_a_key(target: Target) -> None:
    """The URL joined to the host's address is answered with 200 and a body, without any
    authorization.
    """
    answer = image(target)
    expect(
        answer.status == 200, "status 200", answer.status or f"no answer: {answer.failure}", answer
    )
    expect(len(answer.body) > 0, "a body", "no byte", answer)


@check(Level.HOST, "FACTS 6.2")
def url_serves_the_same_bytes_again(target: Target) -> None:
    """A URL is not used up: asked again it serves the same bytes."""
    _expect_served(target, fetch_file(target, image_url(target)))


@check(Level.HOST, "FACTS 6.2")
def key_does_no_harm_to_a_url(target: Target) -> None:
    """The URL serves the same with the app's key in the request."""
    request = target.get_request(image_url(target).path)
    _expect_served(target, target.send(request))


@check(Level.HOST, "FACTS 5.6", follows_from=_SERVED)
def every_url_of_a_stream_serves_one_image(target: Target) -> None:
    """However often a stream signs a file, each of its URLs works, and serves the same bytes."""
    trace = shared_trace(target)
    files = [file for one in trace.events for file in files_within(one.data)]
    urls = {
        url: file.get("related_id") for file in files if (url := parse_url(str(file.get("url"))))
    }
    if not urls:
        raise NotRun("the stream has no signed URL to judge", trace.exchange)
    bodies: dict[object, bytes] = {}
    for url, file_id in urls.items():
        answer = fetch_file(target, url)
        expect(
            answer.status == 200,
            "status 200",
            answer.status or f"no answer: {answer.failure}",
            answer,
        )
        expect(
            bodies.setdefault(file_id, answer.body) == answer.body,
            "the same bytes",
            "others",
            answer,
        )


@check(Level.HOST, "FACTS 6.2")
def order_of_parameters_is_free(target: Target) -> None:
    """timestamp, nonce and sign may come in any order."""
    url = image_url(target)
    _expect_served(target, _ask(target, url, _query(url, "sign", "nonce", "timestamp")))


@check(Level.HOST, "FACTS 6.2")
def other_parameters_are_ignored(target: Target) -> None:
    """A parameter that the host does not know changes nothing."""
    url = image_url(target)
    _expect_served(
        target, _ask(target, url, f"width=1&{_query(url, 'timestamp', 'nonce', 'sign')}&v=2")
    )


@check(Level.HOST, "FACTS 6.2")
def first_of_two_parameters_counts(target: Target) -> None:
    """Of a parameter given twice the first counts: a good sign before a bad one serves, after it it
    does not.
    """
    url = image_url(target)
    bad, whole = f"sign={_other_digit(url.sign)}", _query(url, "timestamp", "nonce", "sign")
    _expect_served(target, _ask(target, url, f"{whole}&{bad}"))
    expect_error(_ask(target, url, f"{bad}&{whole}"), _BAD_URL)


@check(Level.HOST, "FACTS 6.1")
def sign_may_be_percent_encoded(target: Target) -> None:
    """The = at the end of sign may be sent as %3D."""
    url = image_url(target)
    _expect_served(target, fetch_file(target, url.but(sign=url.sign.replace("=", "%3D"))))


@check(Level.HOST, "FACTS 6.2")
def file_id_may_be_in_upper_case(target: Target) -> None:
    """The id in the URL may be written in upper case."""
    url = image_url(target)
    _expect_served(target, fetch_file(target, url.but(file_id=url.file_id.upper())))


@check(Level.HOST, "FACTS 6.1 and 6.2")
def extension_is_not_signed(target: Target) -> None:
    """Any extension serves the same bytes with the stored content type."""
    for extension in ("jpg", "tar.gz"):
        answer = _ask(target, image_url(target), extension=extension)
        _expect_served(target, answer)
        expect_equal(answer.media_type, image(target).media_type, "media type", answer)


@check(Level.HOST, "FACTS 6.2")
def range_is_ignored(target: Target) -> None:
    """A Range header is answered with the whole picture."""
    request = Request("GET", image_url(target).path).with_header("Range", "bytes=0-99")
    _expect_served(target, target.send(request))


@check(Level.HOST, "FACTS 6.2")
def conditions_are_ignored(target: Target) -> None:
    """If-None-Match and If-Modified-Since are answered with the whole picture."""
    request = Request("GET", image_url(target).path).with_header("If-None-Match", "*")
    future = "Fri, 01 Jan 2100 00:00:00 GMT"
    _expect_served(target, target.send(request.with_header("If-Modified-Since", future)))


@check(Level.VERSION, "FACTS 6.2 and 9.1")
def as_attachment_is_ignored(target: Target) -> None:
    """as_attachment changes nothing; later versions answer it with a Content-Disposition."""
    url = image_url(target)
    answer = _ask(target, url, f"{_query(url, 'timestamp', 'nonce', 'sign')}&as_attachment=true")
    _expect_served(target, answer)
    said = answer.header("Content-Disposition")
    later = {"0.15.3": said} if said is not None and said.startswith("attachment; filename") else {}
    expect_version(said, {"0.6.4": None, **later}, "Content-Disposition", answer)


# It works in no other form
# -------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 6.3")
def changed_sign_is_403(target: Target) -> None:
    """A sign with one character changed is refused."""
    expect_error(_tampered(target, sign=_other_digit(image_url(target).sign)), _BAD_URL)


@check(Level.HOST, "FACTS 6.1 and 6.3")
def sign_in_another_case_is_403(target: Target) -> None:
    """Upper and lower case make a difference in sign."""
    expect_error(_tampered(target, sign=image_url(target).sign.swapcase()), _BAD_URL)


@check(Level.HOST, "FACTS 6.3")
def empty_sign_is_403(target: Target) -> None:
    """An empty sign is refused."""
    expect_error(_tampered(target, sign=""), _BAD_URL)


@check(Level.HOST, "FACTS 6.1")
def unpadded_sign_is_403(target: Target) -> None:
    """A sign without its = is refused."""
    expect_error(_tampered(target, sign=image_url(target).sign.rstrip("=")), _BAD_URL)


@check(Level.HOST, "FACTS 6.1")
def sign_in_the_other_alphabet_is_403(target: Target) -> None:
    """A sign in the alphabet with + and / is refused: only the one with - and _ is the host's."""
    url = next((url for url in _url_candidates(target) if set("-_") & set(url.sign)), None)
    if url is None:
        raise Skipped("no signature of this host holds - or _", blocking(target))
    sign = url.sign.replace("-", "%2B").replace("_", "%2F")
    expect_error(fetch_file(target, url.but(sign=sign)), _BAD_URL)


def _url_candidates(target: Target) -> list[SignedUrl]:
    """URLs that the host would serve: its own, and where its secret is lent some of ours."""
    own = image_url(target)
    secret = target.capabilities.secret
    return (
        [own]
        if secret is None
        else [own, *(own.signed(secret, nonce=f"{at:032x}") for at in range(100))]
    )


@check(Level.HOST, "FACTS 6.3")
def changed_nonce_is_403(target: Target) -> None:
    """A changed nonce is refused."""
    expect_error(_tampered(target, nonce=_other_digit(image_url(target).nonce)), _BAD_URL)


@check(Level.HOST, "FACTS 6.3")
def empty_nonce_is_403(target: Target) -> None:
    """An empty nonce is refused."""
    expect_error(_tampered(target, nonce=""), _BAD_URL)


@check(Level.HOST, "FACTS 6.3")
def changed_timestamp_is_403(target: Target) -> None:
    """A changed timestamp is refused, so that nobody can make a URL last."""
    later = str(int(image_url(target).timestamp) + 1)
    expect_error(_tampered(target, timestamp=later), _BAD_URL)


@check(Level.HOST, "FACTS 6.3")
def unsigned_text_as_timestamp_is_403(target: Target) -> None:
    """A timestamp that is no number is refused for its signature, which is looked at first."""
    expect_error(_tampered(target, timestamp="abc"), _BAD_URL)


@check(Level.HOST, "FACTS 6.3")
def sign_of_another_file_is_403(target: Target) -> None:
    """A signature is good for its own file only: another id is refused, whether there is such a
    file or not.
    """
    expect_error(_tampered(target, file_id=str(uuid.uuid4())), _BAD_URL)
    trace = shared_trace(target)
    file = next((file for one in trace.events for file in files_within(one.data)), {})
    url = parse_url(str(file.get("url")))
    if url is not None and url.file_id != image_url(target).file_id:
        expect_error(_tampered(target, file_id=url.file_id), _BAD_URL)


def _missing(name: str) -> Error:
    return error("query_parameter_missing", field=name)


@check(Level.VERSION, "FACTS 6.3 and 9.2")
def missing_timestamp_is_400(target: Target) -> None:
    """A URL without timestamp is refused by that parameter's name."""
    url = image_url(target)
    expect_error(_ask(target, url, _query(url, "nonce", "sign")), _missing("timestamp"))


@check(Level.VERSION, "FACTS 6.3 and 9.2")
def missing_nonce_is_400(target: Target) -> None:
    """A URL without nonce is refused by that parameter's name."""
    url = image_url(target)
    expect_error(_ask(target, url, _query(url, "timestamp", "sign")), _missing("nonce"))


@check(Level.VERSION, "FACTS 6.3 and 9.2")
def missing_sign_is_400(target: Target) -> None:
    """A URL without sign is refused by that parameter's name."""
    url = image_url(target)
    expect_error(_ask(target, url, _query(url, "timestamp", "nonce")), _missing("sign"))


@check(Level.VERSION, "FACTS 6.3 and 9.2")
def missing_parameters_are_named_in_their_order(target: Target) -> None:
    """Of several missing parameters the first of timestamp, nonce, sign is named."""
    url = image_url(target)
    expect_error(_ask(target, url, ""), _missing("timestamp"))
    expect_error(_ask(target, url, _query(url, "timestamp")), _missing("nonce"))


@check(Level.HOST, "FACTS 6.3")
def file_id_that_is_no_uuid_is_404(target: Target) -> None:
    """A path whose id is no uuid, or one without its dashes, leads nowhere."""
    url = image_url(target)
    for file_id in ("notauuid", url.file_id.replace("-", "")):
        answer = fetch_file(target, url.but(file_id=file_id))
        expect_equal(answer.status, 404, "status", answer)


@check(Level.HOST, "FACTS 6.3")
def file_without_extension_is_404(target: Target) -> None:
    """A path without an extension leads nowhere."""
    url = image_url(target)
    answer = target.send(Request("GET", url.path.replace(f".{url.extension}?", "?")))
    expect_equal(answer.status, 404, "status", answer)


@check(Level.HOST, "FACTS 2")
def files_are_not_under_v1(target: Target) -> None:
    """The URL is no part of the API: under /v1 it leads nowhere."""
    answer = target.send(Request("GET", f"/v1{image_url(target).path}"))
    expect_equal(answer.status, 404, "status", answer)


# Methods and headers
# -------------------------------------------------------------------------------------------------


@check(Level.HOST, "FACTS 6.2")
def file_url_is_read_only(target: Target) -> None:
    """POST, PUT and DELETE are 405, and Allow names what is possible."""
    for method in ("POST", "PUT", "DELETE"):
        answer = fetch_file(target, image_url(target), method)
        expect_error(answer, _NO_METHOD)
        expect_equal(_allowed(answer), _METHODS, "Allow", answer)


def _allowed(answer: Exchange) -> set[str]:
    """The methods of Allow; their order is not stable between processes (FACTS 1.9)."""
    return {method.strip() for method in (answer.header("allow") or "").split(",")} - {""}


@check(Level.HOST, "FACTS 6.2", follows_from=_SERVED)
def head_of_a_url_is_its_get_without_a_body(target: Target) -> None:
    """HEAD has the status and content type of GET, and no body; it looks at the signature as GET
    does.
    """
    answer = fetch_file(target, image_url(target), "HEAD")
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.media_type, image(target).media_type, "media type", answer)
    expect_equal(answer.body, b"", "body", answer)
    url = image_url(target)
    refused = fetch_file(target, url.but(sign=_other_digit(url.sign)), "HEAD")
    expect_equal(refused.status, 403, "status with a changed sign", refused)


@check(Level.HOST, "FACTS 6.2")
def options_of_a_url_name_its_methods(target: Target) -> None:
    """OPTIONS is answered with 200, an empty body and Allow."""
    answer = fetch_file(target, image_url(target), "OPTIONS")
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.body, b"", "body", answer)
    expect_equal(_allowed(answer), _METHODS, "Allow", answer)


@check(Level.VERSION, "FACTS 6.2 and 9.1")
def image_has_no_length(target: Target) -> None:
    """A picture has no Content-Length; later versions tell it, and then it is true."""
    answer = image(target)
    said = answer.header("content-length")
    expect_version(said, {"0.6.4": None, "0.15.3": str(len(answer.body))}, "Content-Length", answer)


@check(Level.VERSION, "FACTS 6.2")
def image_has_no_caching_headers(target: Target) -> None:
    """A picture comes without ETag, Last-Modified, Cache-Control, Accept-Ranges and
    Content-Disposition.
    """
    answer = image(target)
    said = {name: answer.header(name) for name in _CACHING if answer.header(name) is not None}
    why = "something between may have added them"
    expect(not said, "no caching headers", said, answer, why, level=Level.VERSION)


# With the host's secret
# ----------------------------------------------------------------------------------------------


def _signed(target: Target, **parts: str) -> Exchange:
    """What the host says to the picture's URL with some parts changed and signed with its own
    secret.
    """
    return fetch_file(target, image_url(target).signed(str(target.capabilities.secret), **parts))


def _host_now(target: Target) -> int:
    """The host's clock, by the Date of the picture's answer; ours where it has none."""
    answer = image(target)
    try:
        then = parsedate_to_datetime(answer.header("date") or "").timestamp()
    except ValueError:
        return int(time.time())
    return int(then + time.time() - answer.sent_at)


@check(Level.HOST, "FACTS 6.1", Capability.SECRET)
def urls_are_signed_by_the_recipe(target: Target) -> None:
    """sign is the padded base64url HMAC-SHA256 of "file-preview|uuid|timestamp|nonce", keyed with
    the secret.
    """
    url = image_url(target)
    ours = url.signed(str(target.capabilities.secret)).sign
    got = (
        "another one of that form; is it another secret?"
        if len(url.sign) == len(ours)
        else "one of another form"
    )
    expect(url.sign == ours, "the sign that the lent secret makes", got, blocking(target))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET)
def url_of_last_year_is_403(target: Target) -> None:
    """A rightly signed URL of last year is refused."""
    expect_error(_signed(target, timestamp=str(_host_now(target) - _YEAR_S)), _BAD_URL)


@check(Level.HOST, "FACTS 6.3 and 9.1", Capability.SECRET)
def url_expires_after_300_seconds(target: Target) -> None:
    """A rightly signed URL of 301 s ago is refused; versions after 0.6 let a deployment choose
    another time.
    """
    chunks = image(target).chunks
    late_s = (
        int(chunks[0].at_s) if chunks else 0
    )  # the Date that tells the host's clock may be so much younger
    answer = _signed(target, timestamp=str(_host_now(target) - late_s - _VALID_S - 1))
    level = Level.HOST if has_files_of_0_6(blocking_data(target).get("outputs")) else Level.VERSION
    expect(answer.status == 403, "status 403", answer.status, answer, level=level)


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def url_is_valid_for_290_seconds(target: Target) -> None:
    """A rightly signed URL of 290 s ago serves the picture."""
    _expect_served(target, _signed(target, timestamp=str(_host_now(target) - _VALID_S + 10)))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def url_of_the_future_is_valid(target: Target) -> None:
    """A rightly signed URL of the next hour serves the picture."""
    _expect_served(target, _signed(target, timestamp=str(_host_now(target) + 3600)))


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def signed_text_as_timestamp_is_400(target: Target) -> None:
    """A rightly signed timestamp that is no number is refused in Python's words."""
    answer = _signed(target, timestamp="abc")
    expect_error(
        answer, error("value_error", message="invalid literal for int() with base 10: 'abc'")
    )


@check(Level.HOST, "FACTS 6.3", Capability.SECRET, follows_from=_SIGNED)
def signed_unknown_file_is_415(target: Target) -> None:
    """A rightly signed URL of a file that is not there is refused as a file type (so the host
    says).
    """
    expect_error(_signed(target, file_id=str(uuid.uuid4())), _FILE_TYPE)
