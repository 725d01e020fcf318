"""Whether an response is one that spec and overlay allow for its request.

``Checker.problems`` gives nothing for an allowed response. Allowed are the page or the redirect
that nginx or Flask gives there, or an response of the operation with a documented status, content
type and body, an error in the words of one of the operation's own templates, with exactly the
headers of an response of its kind.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import parse_qsl

import jsonschema_rs
from PIL import Image, UnidentifiedImageError
from werkzeug.exceptions import NotFound
from werkzeug.utils import redirect
from werkzeug.wrappers import Request as WerkzeugRequest

from tests.fuzz import run_rules, stream
from tests.fuzz.expectation import (
    AppFailed,
    Expected,
    FrontPage,
    Moved,
    NoMethod,
    NoRoute,
    Operation,
    Options,
    Oracle,
    ProxyPage,
)
from tests.fuzz.message import Request
from tests.serving import RawAnswer

JSON = "application/json"
HTML = "text/html; charset=utf-8"
PAGE = "text/html"
STREAM = "text/event-stream"
PNG = "image/png"

_FREE = frozenset({"server", "date", "connection", "keep-alive"})
_OWN = frozenset({"content-type", "content-length", "transfer-encoding"})
_PLACEHOLDER = re.compile(r"\{\w+\}")
_CONVERSION = re.compile(
    r"'utf-8' codec can't encode character.*: surrogates not allowed"
    r"|invalid literal for int\(\) with base 10: .*"
    r"|not enough values to unpack \(expected 2, got [01]\)"
)
"""What a ``value_error`` may say: the texts of the conversions that the host is known to make."""

_COLUMN_CHARACTERS = 255
_GUNICORN_500 = (
    b"<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n"
    b"    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
)


_ERRORS_OF_ANY = {
    *("auth_header_missing", "auth_scheme_wrong", "value_error", "token_unknown"),
    *("app_disabled", "app_abnormal", "app_deleted", "app_archived"),
    *("internal_error", "internal_server_error", "method_not_allowed"),
}
"""An operation with no other errors serves every request whose key and method are right."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not allowed. ``rule`` is short and the same for the same mistake."""

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the checker knows of the deployment: which key opens what kind of app, and the key that
    signs URLs.
    """

    kinds: Mapping[str, str]
    secret_key: str
    now: float


class _Form(WerkzeugRequest):
    """A form whose files stay in memory: those of one that breaks off are never closed."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


class Checker:
    """Judges answers of one server; it remembers the files that the server has got of."""

    def __init__(self, document: Mapping[str, Any], secrets: Deployment) -> None:
        host = document["x-host"]
        self._document = document
        self.deployment = secrets
        self._always = [(name.lower(), value) for name, value in host["headers"]]
        self._server = host["proxy"]["server"]
        self._cors = host["cors"]
        self._limits = host["limits"]
        self._extensions = host["upload_extensions"]
        self._errors = {name: _template(entry) for name, entry in host["errors"].items()}
        self._schemas: dict[str, jsonschema_rs.Validator] = {}
        self._event = self._validator({"$ref": "#/components/schemas/StreamEvent"})
        self.oracle = Oracle(document)
        self.files: set[str] = set()
        self.outcomes: Counter[str] = Counter()

    def problems(self, request: Request, response: RawAnswer) -> list[Problem]:
        """What is not allowed about ``response``; all of it."""
        expected = self.oracle.expected(request)
        found = [*self._of_kind(request, response, expected), *self._framing(request, response)]
        if not found:
            self.outcomes[_outcome(expected, response)] += 1
        return found

    def _of_kind(
        self, request: Request, response: RawAnswer, expected: Expected
    ) -> Iterator[Problem]:
        match expected:
            case ProxyPage():
                yield from self._page(request, response, expected)
            case FrontPage():
                yield from _equal(
                    "front page", (response.status, response.header("content-type")), (200, HTML)
                )
                policy = response.header("content-security-policy") or ""
                yield from _equal("front page runs no script", "default-src 'none'" in policy, True)
                own = [("cache-control", "no-store"), ("content-security-policy", policy)]
                yield from self._headers(response, own)
            case NoRoute():
                yield from _flask_page(request, response, 404, NotFound().get_body().encode())
                yield from self._headers(response, self._always)
            case Moved(location):
                yield from _flask_page(request, response, 308, redirect(location, 308).get_data())
                yield from self._headers(response, [("location", location), *self._always])
            case NoMethod(allow):
                yield from self._error(request, response, ["method_not_allowed"])
                yield from self._allow(response, allow)
                yield from self._headers(
                    response, [("allow", response.header("allow") or ""), *self._always]
                )
            case AppFailed():
                yield from _equal("status", response.status, 500)
                if request.method != "HEAD":
                    yield from _equal("gunicorn's page", response.body, _GUNICORN_500)
                yield from self._headers(response, [])
            case Options(allow):
                yield from _flask_page(request, response, 200, b"")
                yield from self._allow(response, allow)
                own = [
                    ("allow", response.header("allow") or ""),
                    *self._shared(request),
                    *self._preflight(request),
                ]
                yield from self._headers(response, [*own, *self._always])
            case Operation():
                yield from self._operation(request, response, expected)

    # nginx and Flask
    # ---------------------------------------------------------------------------------------------

    def _page(self, request: Request, response: RawAnswer, page: ProxyPage) -> Iterator[Problem]:
        yield from _equal("proxy page status", response.status, page.status)
        yield from _equal("proxy page type", response.header("content-type"), PAGE)
        if request.method != "HEAD":
            yield from _equal("proxy page", response.body, page.body(self._server))
        yield from self._headers(response, [])
        if page.status in (400, 413, 414):
            yield from _equal("proxy page connection", response.header("connection"), "close")

    def _allow(self, response: RawAnswer, allow: frozenset[str]) -> Iterator[Problem]:
        got = frozenset((response.header("allow") or "").split(", "))
        yield from _equal("allow", sorted(got), sorted(allow))

    def _shared(self, request: Request) -> list[tuple[str, str]]:
        """What Flask-CORS adds to an response of a route."""
        origin = request.header(b"origin")
        if not origin:
            return [("access-control-allow-origin", "*")]
        return [("access-control-allow-origin", origin.decode("latin-1")), ("vary", "Origin")]

    def _preflight(self, request: Request) -> Iterator[tuple[str, str]]:
        """What it adds to OPTIONS; it looks for the method inside the joined text of all
        methods.
        """
        methods = ", ".join(sorted(self._cors["methods"]))
        method = (request.header(b"access-control-request-method") or b"").decode("latin-1").upper()
        if not method or method not in methods:
            return
        allowed = "file_headers" if request.target.lstrip(b"/").startswith(b"files/") else "headers"
        known = {name.lower() for name in self._cors[allowed]}
        wanted = (
            (request.header(b"access-control-request-headers") or b"").decode("latin-1").split(",")
        )
        granted = ", ".join(
            sorted(name.strip() for name in wanted if name.strip().lower() in known)
        )
        if granted:
            yield "access-control-allow-headers", granted
        yield "access-control-allow-methods", methods

    # What every response keeps
    # ----------------------------------------------------------------------------------------

    def _headers(self, response: RawAnswer, wanted: list[tuple[str, str]]) -> Iterator[Problem]:
        got = sorted((name.lower(), value) for name, value in response.headers)
        rest = [(name, value) for name, value in got if name not in _FREE | _OWN]
        if rest != sorted(wanted):
            missing = [pair for pair in wanted if pair not in rest]
            extra = [pair for pair in rest if pair not in wanted]
            yield Problem("headers", f"missing {missing}, not expected {extra}, of {got}")
        if response.header("server") != self._server or not response.header("date"):
            # A refusal of the proxy before there is a request has a date too.
            yield Problem("server and date", f"{response.headers}")

    @staticmethod
    def _framing(request: Request, response: RawAnswer) -> Iterator[Problem]:
        """One length, got in one way; ``RawAnswer`` has read the body by it already."""
        names = [name.lower() for name, _ in response.headers]
        if len(names) != len(set(names)):
            yield Problem("doubled header", f"{response.headers}")
        length = response.header("content-length")
        chunked = response.header("transfer-encoding")
        if chunked is not None and (length is not None or not request.minor):
            yield Problem("length", f"chunked, and {length=}, of HTTP/1.{request.minor}")
        if length is not None and request.method != "HEAD" and len(response.body) != int(length):
            yield Problem(
                "length", f"Content-Length is {length}, and there are {len(response.body)} bytes"
            )
        if request.method == "HEAD" and response.body:
            yield Problem("length", f"an response to HEAD with a body: {response.body[:80]!r}")
        if not (
            length
            or chunked
            or request.method == "HEAD"
            or response.header("connection") == "close"
        ):
            yield Problem("length", f"nothing says where the response ends: {response.headers}")

    # Operations
    # ---------------------------------------------------------------------------------------------

    def _operation(
        self, request: Request, response: RawAnswer, operation: Operation
    ) -> Iterator[Problem]:
        content_type = response.header("content-type") or ""
        if (response.status, content_type, response.body) == (500, PAGE, _GUNICORN_500):
            yield from self._headers(response, [])
            return
        yield from self._headers(response, [*self._shared(request), *self._always])
        documented = self._resolved(operation.entry["responses"].get(str(response.status)))
        if documented is None:
            what = f"{response.status} is not documented for {operation.name}"
            yield Problem("status", f"{what}: {response.body[:200]!r}")
            return
        media = content_type.partition(";")[0]
        kinds = documented["content"]
        entry = next((entry for kind, entry in kinds.items() if _fits(kind, media)), None)
        if entry is None:
            what = f"{media!r} is not documented for {response.status} of {operation.name}"
            yield Problem("content type", f"{what}: {', '.join(kinds)}")
        elif response.status >= 400:
            yield from self._error(request, response, self._allowed_errors(request, operation))
        else:
            yield from self._success(request, response, operation, media, entry)

    def _allowed_errors(self, request: Request, operation: Operation) -> list[str]:
        """The operation's errors; where this can tell which it must be, only that one."""
        certain = self._certain(request, operation)
        return [name for name in operation.entry["x-errors"] if certain in (None, name)]

    def _certain(self, request: Request, operation: Operation) -> str | None:
        """The refusal that there has to be; "" for a request that must be served, None where this
        cannot tell.
        """
        refused = self._refused_key(request, operation)
        if refused:
            return refused
        if operation.entry.get("x-user") == "json":
            return self._refused_json(request, operation)
        match operation.name:
            case "getToolFile":
                return self._refused_file(request, operation)
            case "uploadFile" | "audioToText":
                return self._refused_upload(request, operation)
        if "x-refusal" not in operation.entry and _ERRORS_OF_ANY.issuperset(
            operation.entry["x-errors"]
        ):
            return ""
        return None

    def _success(
        self,
        request: Request,
        response: RawAnswer,
        operation: Operation,
        media: str,
        entry: Mapping[str, Any],
    ) -> Iterator[Problem]:
        certain = self._certain(request, operation)
        if certain:
            yield Problem("not refused", f"{response.status}, but the host says {certain}")
        if request.method == "HEAD":
            return
        if media == STREAM:
            yield from (
                Problem(rule, text) for rule, text in stream.problems(response.body, self._event)
            )
            yield from _equal(
                "stream type", response.header("content-type"), f"{STREAM}; charset=utf-8"
            )
        elif media == JSON:
            yield from self._json(
                response, entry["schema"], newline=operation.name != "runWorkflow"
            )
        elif media == PNG:
            yield from _image(response.body)
        if operation.name == "runWorkflow":
            yield from self._run(request, response, media)

    def _run(self, request: Request, response: RawAnswer, media: str) -> Iterator[Problem]:
        self.files.update(
            match.decode()
            for match in re.findall(rb'"related_id": "([0-9a-f-]{36})"', response.body)
        )
        body = request.json()
        mode = body.get("response_mode") if isinstance(body, dict) else None
        yield from _equal("mode", media, STREAM if mode == "streaming" else JSON)
        if media == JSON and response.body[:1] == b"{":
            got = json.loads(response.body)
            data = got.get("data", {})
            yield from _equal("run id", data.get("id"), got.get("workflow_run_id"))
            strayed = (
                data.get("finished_at", 0) - data.get("created_at", 0) - data.get("elapsed_time", 0)
            )
            if not -1.5 < strayed < 0.5:
                yield Problem("times", f"finished_at - created_at - elapsed_time is {strayed}")

    def _json(
        self, response: RawAnswer, schema: Mapping[str, Any], newline: bool
    ) -> Iterator[Problem]:
        text = response.body.decode("latin-1")
        try:
            value = json.loads(text)
        except ValueError:
            yield Problem("json", f"no JSON: {text[:200]!r}")
            return
        yield from _equal("json style", text, json.dumps(value) + "\n" * newline)
        for error in self._validator(schema).iter_errors(value):
            yield Problem("schema", f"at {error.instance_path}: {error.message}")

    # Errors
    # ---------------------------------------------------------------------------------------------

    def _error(
        self, request: Request, response: RawAnswer, allowed: list[str]
    ) -> Iterator[Problem]:
        yield from _equal("error type", response.header("content-type"), JSON)
        if request.method == "HEAD":
            if response.status not in {self._errors[name][0] for name in allowed}:
                yield Problem("error status", f"{response.status} is that of none of {allowed}")
            return
        fitting = [name for name in allowed if self._fits(response, name)]
        if not fitting:
            yield Problem(
                "error", f"{response.status} {response.body[:300]!r} is none of {allowed}"
            )
        else:
            self.outcomes[f"  error {fitting[0]}"] += 1

    def _fits(self, response: RawAnswer, name: str) -> bool:
        status, pattern = self._errors[name]
        match = (
            pattern.fullmatch(response.body.decode("latin-1"))
            if response.status == status
            else None
        )
        return match is not None and (
            name != "value_error" or _CONVERSION.fullmatch(match[1]) is not None
        )

    def _refused_key(self, request: Request, operation: Operation) -> str | None:
        """The refusal that the Authorization header must get, by the lines of Dify's own check."""
        if not operation.entry.get("security"):
            return None
        text = (request.header(b"authorization") or b"").decode("latin-1").strip(" \t")
        if " " not in text:
            return "auth_header_missing"
        words = text.split(None, 1)
        if len(words) < 2:
            return "value_error"
        if words[0].lower() != "bearer":
            return "auth_scheme_wrong"
        kind = self.deployment.kinds.get(words[1])
        if kind is None or operation.name in ("listDatasets", "createDataset"):
            return "token_unknown"
        return f"app_{kind}" if kind in ("disabled", "deleted") else None

    def _refused_json(self, request: Request, operation: Operation) -> str | None:
        refused, body = run_rules.refused_user(request, operation.entry["x-user-required"])
        if refused != "":
            return refused
        kind = self.deployment.kinds.get(
            (request.header(b"authorization") or b"").split()[1].decode("latin-1"), ""
        )
        if operation.name == "runWorkflow":
            return run_rules.refused_run(body, kind)
        if operation.name == "stopWorkflowTask":
            return "not_workflow_app" if kind == "chat" else ""
        if operation.name == "textToAudio":
            return run_rules.refused_speech(body)
        return operation.entry.get(
            "x-refusal"
        )  # of the others this cannot tell: they depend on the kind of app

    def _refused_file(self, request: Request, operation: Operation) -> str:
        """The refusal that a signed URL must get."""
        pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
        query = dict(reversed(pairs))
        names = ("timestamp", "nonce", "sign")
        if not all(name in query for name in names):
            return "query_parameter_missing"
        file_id = operation.parameters["file_id"].lower()
        signed = f"file-preview|{file_id}|{query['timestamp']}|{query['nonce']}".encode()
        right = base64.urlsafe_b64encode(
            hmac.digest(self.deployment.secret_key.encode(), signed, hashlib.sha256)
        )
        if query["sign"].encode() != right:
            return "signature_refused"
        try:
            age_s = self.deployment.now - int(query["timestamp"])
        except ValueError:
            return "value_error"
        if age_s > self._limits["url_lifetime_s"]:
            return "signature_refused"
        return "" if file_id in self.files else "file_unknown"

    def _refused_upload(self, request: Request, operation: Operation) -> str:
        """The refusal that an upload must get, by Dify's own order of checks on the form as
        Werkzeug reads it.
        """
        content_type = (request.header(b"content-type") or b"").decode("latin-1")
        with _Form.from_values(method="POST", data=request.body, content_type=content_type) as form:
            return self._refused_user(form) or self._refused_part(form, operation)

    def _refused_user(self, form: WerkzeugRequest) -> str:
        user = form.form.get("user") or ""
        if "\0" in user:
            return "user_nul"
        return "internal_error" if len(user) > self._limits["user_characters"] else ""

    def _refused_part(self, form: WerkzeugRequest, operation: Operation) -> str:
        if "file" not in form.files:
            part_of = "audio" if operation.name == "audioToText" else "upload"
            return f"{part_of}_without_file"
        if operation.name == "audioToText":
            return "speech_to_text_disabled"
        file = form.files["file"]
        if not file.mimetype:
            return "upload_type_refused"
        if len(form.files) > 1:
            return "upload_too_many_files"
        extension = (file.filename or "").split(".")[-1]
        kind = next(
            (kind for kind, names in self._extensions.items() if extension.lower() in names), None
        )
        if kind is None:
            return "upload_type_refused"
        limit = self._limits["upload_image_bytes" if kind == "image" else "upload_file_bytes"]
        longest = max(len(file.filename or ""), len(file.mimetype))
        stored = (
            "" if longest <= _COLUMN_CHARACTERS else "internal_error"
        )  # the database's columns (FACTS 12.14)
        return "upload_too_large" if len(file.read()) > limit else stored

    # The document
    # ---------------------------------------------------------------------------------------------

    def _resolved(self, value: Any) -> Any:
        while isinstance(value, dict) and "$ref" in value:
            target: Any = self._document
            for key in value["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            value = target
        return value

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        key = json.dumps(schema)
        if key not in self._schemas:
            whole = {**schema, "components": self._document["components"]}
            self._schemas[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._schemas[key]


def _template(entry: Mapping[str, Any]) -> tuple[int, re.Pattern[str]]:
    """The wire text of an error, its placeholders as wildcards."""
    parts = _PLACEHOLDER.split(json.dumps(entry["body"]) + "\n")
    return entry["status"], re.compile(r'((?:[^"\\]|\\.)*)'.join(re.escape(part) for part in parts))


def _outcome(expected: Expected, response: RawAnswer) -> str:
    name = expected.name if isinstance(expected, Operation) else type(expected).__name__
    return f"{name} {response.status}"


def _equal(rule: str, got: Any, wanted: Any) -> Iterator[Problem]:
    if got != wanted:
        yield Problem(rule, f"{_short(got)} instead of {_short(wanted)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _fits(kind: str, media: str) -> bool:
    return kind == media or (kind.endswith("/*") and media.startswith(kind[:-1]))


def _flask_page(
    request: Request, response: RawAnswer, status: int, body: bytes
) -> Iterator[Problem]:
    yield from _equal("page status", response.status, status)
    yield from _equal("page type", response.header("content-type"), HTML)
    if request.method != "HEAD":
        yield from _equal("page", response.body, body)


def _image(body: bytes) -> Iterator[Problem]:
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            kind = image.format
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        yield Problem("image", f"cannot be decoded: {error}")
    else:
        yield from _equal("image", kind, "PNG")
