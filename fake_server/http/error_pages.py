"""HTML pages: Flask's and nginx's, to the byte."""

from __future__ import annotations

from http import HTTPStatus

NOT_FOUND = (
    b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
    b"<p>The requested URL was not found on the server. If you entered the URL manually please "
    b"check your spelling "
    b"and try again.</p>\n"
)
"""Flask's page for a path that no route knows [C: get_unknown]."""

METHOD_NOT_ALLOWED = (
    b"<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n"
    b"<h1>Method Not Allowed</h1>\n<p>The method is not allowed for the requested URL.</p>\n"
)
"""Flask's page for another method of a view beside the API [C: post_v1s]."""

_NGINX_REASONS = {
    405: "Not Allowed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    505: "HTTP Version Not Supported",
}
"""Where nginx has words of its own."""

_STATUSES = frozenset(HTTPStatus)


def reason_phrase(status: int) -> str:
    """The registered words for ``status`` as the app and gunicorn use them; "" for none."""
    return _REGISTERED.get(status) or (HTTPStatus(status).phrase if status in _STATUSES else "")


_REGISTERED = {413: "Request Entity Too Large", 414: "Request-URI Too Long"}
"""As Python had them when the host was made."""


def nginx_reason(status: int) -> str:
    """nginx's words for ``status``."""
    return _NGINX_REASONS.get(status) or reason_phrase(status)


def escaped(text: str) -> str:
    """``text`` in HTML; the module that does it comes with all names of HTML's characters."""
    from html import escape

    return escape(text)


def redirect(location: str) -> bytes:
    """Flask's page beside a 308 [C: get_v1]."""
    shown = escaped(location)
    return (
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n"
        "<p>You should be redirected automatically to the target URL: "
        f'<a href="{shown}">{shown}</a>. If not, click the link.\n'
    ).encode()


def nginx(status: int, server: str, detail: str = "") -> bytes:
    """The proxy's page for one of its own errors [C: body_16M, long_uri, auth_two_headers]."""
    phrase = f"{status} {nginx_reason(status)}".strip()
    return (
        f"<html>\r\n<head><title>{phrase}</title></head>\r\n<body>\r\n"
        f"<center><h1>{phrase}</h1></center>\r\n"
        f"{detail}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def nginx_timeout(server: str) -> bytes:
    """The page of the proxy ``server`` that has waited long enough."""
    return nginx(504, server)


def cloudflare_timeout(_: str) -> bytes:
    """Cloudflare's page for a host that takes 100 s, in short but in its words."""
    return _CLOUDFLARE.replace(b"TITLE", b"524: A timeout occurred").replace(
        b"TEXT", b"The origin web server timed out responding to this request."
    )


_CLOUDFLARE = (
    b'<!DOCTYPE html>\n<html lang="en-US">\n<head><title>TITLE</title></head>\n<body>\n'
    b"<h1>TITLE</h1>\n"
    b"<p>TEXT</p>\n<p>Performance &amp; security by Cloudflare</p>\n</body>\n</html>\n"
)

CLOUDFLARE_1015 = _CLOUDFLARE.replace(b"TITLE", b"Error 1015").replace(
    b"TEXT",
    b"You are being rate limited. The owner of this website has banned you temporarily from "
    b"accessing it.",
)
"""What Cloudflare shows to whoever asks too often, in short."""


HEAD_TOO_LARGE = 494
"""nginx's own number for it; its response has the status 400."""


def head_too_large(server: str) -> bytes:
    """nginx's page for a header that is too large, with its own title [nginx 1.22, error 494]."""
    detail = "<center>Request Header Or Cookie Too Large</center>\r\n"
    usual, own = b"<title>400 Bad Request<", b"<title>400 Request Header Or Cookie Too Large<"
    return nginx(400, server, detail).replace(usual, own)
