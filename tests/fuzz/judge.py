"""Whether an answer is one that spec and overlay allow for its request.

``Judge.problems`` gives nothing for an allowed answer. What is allowed: the page or the redirect
that nginx or Flask gives there, or an answer of the operation with a documented status, content
type and body, an error in the words of one of the operation's own templates, with exactly the
headers of an answer of its kind.
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


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not allowed. ``rule`` is short and the same for the same mistake."""

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the judge knows of the deployment: which key opens what kind of app, and the key that
    signs URLs.
    """

    kinds: Mapping[str, str]
    secret_key: str
    now: float


class _Form(WerkzeugRequest):
    """A form whose files stay in memory: those of one that breaks off are never closed."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


class Judge:
    """Judges answers of one server; it remembers the files that the server has told of."""

    def __init__(self, document: Mapping[str, Any], secrets: Secrets) -> None:
        host = document["x-host"]
        self._document = document
        self._secrets = secrets
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
        self.verdicts: Counter[str] = Counter()

    def problems(self, request: Request, answer: RawAnswer) -> list[Problem]:
        """What is not allowed about ``answer``; all of it."""
        expected = self.oracle.expected(request)
        found = [*self._of_kind(request, answer, expected), *self._framing(request, answer)]
        if not found:
            self.verdicts[_verdict(expected, answer)] += 1
        return found

    def _of_kind(
        self, request: Request, answer: RawAnswer, expected: Expected
    ) -> Iterator[Problem]:
        match expected:
            case ProxyPage():
                yield from self._page(request, answer, expected)
            case FrontPage():
                yield from _equal(
                    "front page", (answer.status, answer.header("content-type")), (200, PAGE)
                )
                yield from self._headers(answer, [])
            case NoRoute():
                yield from _flask_page(request, answer, 404, NotFound().get_body().encode())
                yield from self._headers(answer, self._always)
            case Moved(location):
                yield from _flask_page(request, answer, 308, redirect(location, 308).get_data())
                yield from self._headers(answer, [("location", location), *self._always])
            case NoMethod(allow):
                yield from self._error(request, answer, ["method_not_allowed"])
                yield from self._allow(answer, allow)
                yield from self._headers(
                    answer, [("allow", answer.header("allow") or ""), *self._always]
                )
            case AppFailed():
                yield from _equal("status", answer.status, 500)
                if request.method != "HEAD":
                    yield from _equal("gunicorn's page", answer.body, _GUNICORN_500)
                yield from self._headers(answer, [])
            case Options(allow):
                yield from _flask_page(request, answer, 200, b"")
                yield from self._allow(answer, allow)
                own = [
                    ("allow", answer.header("allow") or ""),
                    *self._shared(request),
                    *self._preflight(request),
                ]
                yield from self._headers(answer, [*own, *self._always])
            case Operation():
                yield from self._operation(request, answer, expected)

    # nginx and Flask
    # ------------------------------------------------------------------------------------------------

    def _page(self, request: Request, answer: RawAnswer, page: ProxyPage) -> Iterator[Problem]:
        yield from _equal("proxy page status", answer.status, page.status)
        yield from _equal("proxy page type", answer.header("content-type"), PAGE)
        if request.method != "HEAD":
            yield from _equal("proxy page", answer.body, page.body(self._server))
        yield from self._headers(answer, [])
        if page.status in (400, 413, 414):
            yield from _equal("proxy page connection", answer.header("connection"), "close")

    def _allow(self, answer: RawAnswer, allow: frozenset[str]) -> Iterator[Problem]:
        told = frozenset((answer.header("allow") or "").split(", "))
        yield from _equal("allow", sorted(told), sorted(allow))

    def _shared(self, request: Request) -> list[tuple[str, str]]:
        """What Flask-CORS adds to an answer of a route."""
        origin = request.header(b"origin")
        if not origin:
            return [("access-control-allow-origin", "*")]
        return [("access-control-allow-origin", origin.decode("latin-1")), ("vary", "Origin")]

    def _preflight(self, request: Request) -> Iterator[tuple[str, str]]:
        """What it adds to OPTIONS; it looks for the method inside the joined text of all
        methods.
        """
        methods = ", ".join(sorted(self._cors["methods"]))
        asked = (request.header(b"access-control-request-method") or b"").decode("latin-1").upper()
        if not asked or asked not in methods:
            return
        known = {name.lower() for name in self._cors["headers"]}
        wanted = (
            (request.header(b"access-control-request-headers") or b"").decode("latin-1").split(",")
        )
        granted = ", ".join(
            sorted(name.strip() for name in wanted if name.strip().lower() in known)
        )
        if granted:
            yield "access-control-allow-headers", granted
        yield "access-control-allow-methods", methods

    # What every answer keeps
    # ----------------------------------------------------------------------------------------

    def _headers(self, answer: RawAnswer, wanted: list[tuple[str, str]]) -> Iterator[Problem]:
        told = sorted((name.lower(), value) for name, value in answer.headers)
        rest = [(name, value) for name, value in told if name not in _FREE | _OWN]
        if rest != sorted(wanted):
            missing = [pair for pair in wanted if pair not in rest]
            extra = [pair for pair in rest if pair not in wanted]
            yield Problem("headers", f"missing {missing}, not expected {extra}, of {told}")
        if answer.header("server") != self._server or not answer.header("date"):
            # A refusal of the proxy before there is a request has a date too.
            yield Problem("server and date", f"{answer.headers}")

    @staticmethod
    def _framing(request: Request, answer: RawAnswer) -> Iterator[Problem]:
        """One length, said in one way; ``RawAnswer`` has read the body by it already."""
        names = [name.lower() for name, _ in answer.headers]
        if len(names) != len(set(names)):
            yield Problem("doubled header", f"{answer.headers}")
        length = answer.header("content-length")
        chunked = answer.header("transfer-encoding")
        if chunked is not None and (length is not None or not request.minor):
            yield Problem("length", f"chunked, and {length=}, of HTTP/1.{request.minor}")
        if length is not None and request.method != "HEAD" and len(answer.body) != int(length):
            yield Problem(
                "length", f"Content-Length is {length}, and there are {len(answer.body)} bytes"
            )
        if request.method == "HEAD" and answer.body:
            yield Problem("length", f"an answer to HEAD with a body: {answer.body[:80]!r}")
        if not (
            length or chunked or request.method == "HEAD" or answer.header("connection") == "close"
        ):
            yield Problem("length", f"nothing says where the answer ends: {answer.headers}")

    # Operations
    # -----------------------------------------------------------------------------------------------------

    def _operation(
        self, request: Request, answer: RawAnswer, operation: Operation
    ) -> Iterator[Problem]:
        if (answer.status, answer.header("content-type"), answer.body) == (
            500,
            PAGE,
            _GUNICORN_500,
        ):
            yield from self._headers(answer, [])
            return
        yield from self._headers(answer, [*self._shared(request), *self._always])
        response = self._resolved(operation.said["responses"].get(str(answer.status)))
        if response is None:
            yield Problem(
                "status",
                f"{answer.status} is not documented for {operation.name}: {answer.body[:200]!r}",
            )
            return
        media = (answer.header("content-type") or "").partition(";")[0]
        entry = next(
            (entry for kind, entry in response["content"].items() if _fits(kind, media)), None
        )
        if entry is None:
            known = ", ".join(response["content"])
            yield Problem(
                "content type",
                f"{media!r} is not documented for {answer.status} of {operation.name}: {known}",
            )
        elif answer.status >= 400:
            yield from self._error(request, answer, self._allowed_errors(request, operation))
        else:
            yield from self._success(request, answer, operation, media, entry)

    def _allowed_errors(self, request: Request, operation: Operation) -> list[str]:
        """The operation's errors; where the judge can tell which it has to be, only that one."""
        certain = self._certain(request, operation)
        return [name for name in operation.said["x-errors"] if certain in (None, name)]

    def _certain(self, request: Request, operation: Operation) -> str | None:
        """The refusal that there has to be; "" for a request that must be served, None where the
        judge cannot tell.
        """
        refused = self._refused_key(request, operation)
        if refused:
            return refused
        if operation.said.get("x-user") == "json":
            return self._refused_json(request, operation)
        match operation.name:
            case "getToolFile":
                return self._refused_file(request, operation)
            case "uploadFile" | "audioToText":
                return self._refused_upload(request, operation)
            case "getIndex" | "getInfo" | "getMeta":
                return ""
        return None

    def _success(
        self,
        request: Request,
        answer: RawAnswer,
        operation: Operation,
        media: str,
        entry: Mapping[str, Any],
    ) -> Iterator[Problem]:
        certain = self._certain(request, operation)
        if certain:
            yield Problem("not refused", f"{answer.status}, but the host says {certain}")
        if request.method == "HEAD":
            return
        if media == STREAM:
            yield from (
                Problem(rule, text) for rule, text in stream.problems(answer.body, self._event)
            )
            yield from _equal(
                "stream type", answer.header("content-type"), f"{STREAM}; charset=utf-8"
            )
        elif media == JSON:
            yield from self._json(answer, entry["schema"], newline=operation.name != "runWorkflow")
        elif media == PNG:
            yield from _picture(answer.body)
        if operation.name == "runWorkflow":
            yield from self._run(request, answer, media)

    def _run(self, request: Request, answer: RawAnswer, media: str) -> Iterator[Problem]:
        self.files.update(
            match.decode() for match in re.findall(rb'"related_id": "([0-9a-f-]{36})"', answer.body)
        )
        body = request.json()
        mode = body.get("response_mode") if isinstance(body, dict) else None
        yield from _equal("mode", media, STREAM if mode == "streaming" else JSON)
        if media == JSON and answer.body[:1] == b"{":
            told = json.loads(answer.body)
            data = told.get("data", {})
            yield from _equal("run id", data.get("id"), told.get("workflow_run_id"))
            strayed = (
                data.get("finished_at", 0) - data.get("created_at", 0) - data.get("elapsed_time", 0)
            )
            if not -1.5 < strayed < 0.5:
                yield Problem("times", f"finished_at - created_at - elapsed_time is {strayed}")

    def _json(
        self, answer: RawAnswer, schema: Mapping[str, Any], newline: bool
    ) -> Iterator[Problem]:
        text = answer.body.decode("latin-1")
        try:
            value = json.loads(text)
        except ValueError:
            yield Problem("json", f"no JSON: {text[:200]!r}")
            return
        yield from _equal("json style", text, json.dumps(value) + "\n" * newline)
        for error in self._validator(schema).iter_errors(value):
            yield Problem("schema", f"at {error.instance_path}: {error.message}")

    # Errors
    # ---------------------------------------------------------------------------------------------------------

    def _error(self, request: Request, answer: RawAnswer, allowed: list[str]) -> Iterator[Problem]:
        yield from _equal("error type", answer.header("content-type"), JSON)
        if request.method == "HEAD":
            if answer.status not in {self._errors[name][0] for name in allowed}:
                yield Problem("error status", f"{answer.status} is that of none of {allowed}")
            return
        fitting = [name for name in allowed if self._fits(answer, name)]
        if not fitting:
            yield Problem("error", f"{answer.status} {answer.body[:300]!r} is none of {allowed}")
        else:
            self.verdicts[f"  error {fitting[0]}"] += 1

    def _fits(self, answer: RawAnswer, name: str) -> bool:
        status, pattern = self._errors[name]
        match = (
            pattern.fullmatch(answer.body.decode("latin-1")) if answer.status == status else None
        )
        return match is not None and (
            name != "value_error" or _CONVERSION.fullmatch(match[1]) is not None
        )

    def _refused_key(self, request: Request, operation: Operation) -> str | None:
        """The refusal that the Authorization header must get, by the lines of Dify's own check."""
        if not operation.said.get("security"):
            return None
        text = (request.header(b"authorization") or b"").decode("latin-1").strip(" \t")
        if " " not in text:
            return "auth_header_missing"
        words = text.split(None, 1)
        if len(words) < 2:
            return "value_error"
        if words[0].lower() != "bearer":
            return "auth_scheme_wrong"
        kind = self._secrets.kinds.get(words[1])
        if kind is None or operation.name in ("listDatasets", "createDataset"):
            return "token_unknown"
        return "app_not_found" if kind in ("disabled", "deleted") else None

    def _refused_json(self, request: Request, operation: Operation) -> str | None:
        refused, body = run_rules.refused_user(request, operation.said["x-user-required"])
        if refused != "":
            return refused
        kind = self._secrets.kinds.get(
            (request.header(b"authorization") or b"").split()[1].decode("latin-1"), ""
        )
        if operation.name == "runWorkflow":
            return run_rules.refused_run(body, kind)
        if operation.name == "stopWorkflowTask":
            return "not_workflow_app" if kind == "chat" else ""
        if operation.name == "textToAudio":
            return run_rules.refused_speech(body)
        return operation.said.get(
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
            hmac.digest(self._secrets.secret_key.encode(), signed, hashlib.sha256)
        )
        if query["sign"].encode() != right:
            return "signature_refused"
        try:
            age_s = self._secrets.now - int(query["timestamp"])
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
            return "upload_without_file"
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
    # ---------------------------------------------------------------------------------------------------

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


def _verdict(expected: Expected, answer: RawAnswer) -> str:
    name = expected.name if isinstance(expected, Operation) else type(expected).__name__
    return f"{name} {answer.status}"


def _equal(rule: str, told: Any, wanted: Any) -> Iterator[Problem]:
    if told != wanted:
        yield Problem(rule, f"{_short(told)} instead of {_short(wanted)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _fits(kind: str, media: str) -> bool:
    return kind == media or (kind.endswith("/*") and media.startswith(kind[:-1]))


def _flask_page(request: Request, answer: RawAnswer, status: int, body: bytes) -> Iterator[Problem]:
    yield from _equal("page status", answer.status, status)
    yield from _equal("page type", answer.header("content-type"), HTML)
    if request.method != "HEAD":
        yield from _equal("page", answer.body, body)


def _picture(body: bytes) -> Iterator[Problem]:
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            kind = image.format
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        yield Problem("picture", f"cannot be decoded: {error}")
    else:
        yield from _equal("picture", kind, "PNG")
