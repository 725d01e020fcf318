"""Nodes that reach outside: http-request, code, knowledge, documents. Here none does: no request
leaves the machine and no code of a file runs. What they give is the file's, or a placeholder.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from dify_wire.strict import Field
from fake_server.runs.values import FileRef, InputFile
from fake_server.workflow.behaviour import FakeFile, FakeResponse
from fake_server.workflow.expressions import ABSENT, fill_fake, plain, text_of
from fake_server.workflow.nodes.kind import NodeCall, NodeOutcome
from fake_server.workflow.placeholders import sample_of_type

_CONTENT_TYPES = {
    "json": "application/json",
    "x-www-form-urlencoded": "application/x-www-form-urlencoded",
    "form-data": "multipart/form-data",
    "raw-text": "text/plain",
}
_RETRIED = (429, 500, 502, 503, 504)
"""The statuses after which the host's client tries again, and then gives up."""

_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")
_MEBIBYTE = 1024 * 1024
_LARGEST_FILE = 10 * _MEBIBYTE
_LARGEST_TEXT = _MEBIBYTE
_BOUNDARY = "----WebKitFormBoundary{}"
_ERROR = "HttpRequestNodeError"


def check_http(data: Field) -> None:
    for key in ("authorization", "body"):
        if (part := data.get(key)) and isinstance(part.value, str):
            part.mapping()


def run_http(call: NodeCall) -> NodeOutcome:
    try:
        url, request = _request(call)
    except ValueError as refused:
        return NodeOutcome(call.seconds, error=str(refused), error_type=_ERROR)
    process_data = {"request": request}
    response = call.node.behaviour.response or FakeResponse()
    error, error_type, outputs = call.error, call.node.behaviour.error_type or _ERROR, None
    if error is None:
        error = _transport_error(call, url, response)
    if error is None:
        outputs = _outputs(call, response)
        retries = (call.node.data.get("retry_config") or {}).get("retry_enabled")
        is_watched = call.node.data.get("error_strategy") or retries
        if is_watched and not 200 <= response.status < 400 and call.spec.nodes.cases:
            error = f"Request failed with status code {response.status}"
            error_type = "HTTPResponseCodeError"
    return NodeOutcome(
        call.seconds,
        None,
        process_data,
        outputs,
        error=error,
        error_type=error_type if error else "",
    )


def _transport_error(call: NodeCall, url: str, response: FakeResponse) -> str | None:
    if response.status in _RETRIED and "http_status" in call.spec.nodes.faults:
        return call.spec.nodes.faults["http_status"].replace("{url}", url)
    headers = _headers(response)
    is_file = _is_file(headers)
    size = int(headers.get("content-length") or len(response.body or ""))
    largest = _LARGEST_FILE if is_file else _LARGEST_TEXT
    if size <= largest:
        return None
    return (
        f"{'File' if is_file else 'Text'} size is too large, max size is"
        f" {largest / _MEBIBYTE:.2f} MB, but current size is {size / _MEBIBYTE:.2f} MB."
    )


def _headers(response: FakeResponse) -> dict[str, str]:
    given = response.headers or {}
    headers = {name.lower(): value for name, value in given.items()}
    return headers if given else {"content-type": "application/json"}


def _is_file(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "text/plain")
    if "attachment" in headers.get("content-disposition", ""):
        return True
    return not kind.startswith(_TEXT_TYPES) and not kind.split(";")[0].endswith(("+json", "+xml"))


def _outputs(call: NodeCall, response: FakeResponse) -> dict[str, Any]:
    headers = _headers(response)
    files: Sequence[Any] = ()
    body = fill_fake(response.body, call.pool) if response.body is not None else "{}"
    if call.node.behaviour.files:
        files = [call.drawn_file({}, one) for one in call.node.behaviour.files]
    elif _is_file(headers):
        mime_type = headers.get("content-type", "application/octet-stream").split(";")[0]
        kind, _, extension = mime_type.partition("/")
        kind = kind if kind in ("image", "audio", "video") else "document"
        wanted = FakeFile(None, kind, f".{extension}", mime_type)
        files, body = [call.drawn_file({}, wanted)], response.body or ""
    shown = {"status_code": response.status, "body": body, "headers": headers, "files": list(files)}
    return {**shown}


def _request(call: NodeCall) -> tuple[str, str]:
    """The URL of the request, and its text as the host shows it. Raises ``ValueError``."""
    data = call.node.data
    url = call.text(data.get("url") or "").strip()
    if not url:
        raise ValueError("url is required")
    if not url.startswith(("http://", "https://")):
        raise ValueError("url should start with http:// or https://")
    parts = urlsplit(url)
    query = urlencode(list(_lines(call, data.get("params"))))
    path = (parts.path or "/") + (f"?{query}" if query else f"?{parts.query}" * bool(parts.query))
    headers = dict(_lines(call, data.get("headers")))
    secret = _authorized(call, headers)
    given = data.get("body")
    body: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    kind = str(body.get("type") or "none")
    boundary = _BOUNDARY.format(call.random.nonce()[:16])
    if kind in _CONTENT_TYPES and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = _CONTENT_TYPES[kind]
    if kind == "form-data":
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    text = _body(call, kind, body.get("data"), boundary)
    lines = [f"{str(data.get('method') or 'get').upper()} {path} HTTP/1.1", f"Host: {parts.netloc}"]
    for name, value in headers.items():
        lines.append(f"{name}: {'*' * len(value) if name.lower() == secret else value}")
    if text:
        lines.append(f"Content-Length: {len(text.encode('utf-8', 'surrogatepass'))}")
    return url, "\r\n".join(lines) + "\r\n\r\n" + text


def _lines(call: NodeCall, text: Any) -> Iterator[tuple[str, str]]:
    """The ``name: value`` lines of headers and parameters."""
    for line in str(text or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip():
            yield call.text(name.strip()), call.text(value.strip())


def _authorized(call: NodeCall, headers: dict[str, str]) -> str:
    """The name of the header with the secret, which is put into ``headers``; empty without one."""
    authorization = call.node.data.get("authorization")
    if not isinstance(authorization, Mapping) or authorization.get("type") != "api-key":
        return ""
    config = authorization.get("config")
    if not isinstance(config, Mapping):
        raise ValueError("authorization config is required")
    key, name = call.text(config.get("api_key") or ""), str(config.get("header") or "Authorization")
    match config.get("type"):
        case "bearer":
            key = f"Bearer {key}"
        case "basic":
            coded = base64.b64encode(key.encode("utf-8", "replace")).decode() if ":" in key else key
            key = f"Basic {coded}"
    headers[name] = key
    return name.lower()


def _body(call: NodeCall, kind: str, data: Any, boundary: str) -> str:
    items = [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []
    if isinstance(data, str):  # exports from before 0.6.14
        items = [{"key": name, "value": value} for name, value in _lines(call, data)]
        items = items if kind in ("form-data", "x-www-form-urlencoded") else [{"value": data}]
    if kind in ("raw-text", "json"):
        text = call.text(items[0].get("value") or "") if items else ""
        if kind == "json" and text:
            try:
                return json.dumps(json.loads(text, strict=False))
            except ValueError:
                return text  # a placeholder in it need not be JSON, as what it stands for would be
        return text
    pairs = [
        (call.text(one.get("key") or ""), call.text(one.get("value") or ""))
        for one in items
        if one.get("type") != "file"
    ]
    if kind == "x-www-form-urlencoded":
        return urlencode(pairs)
    if kind == "form-data":
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in pairs
        ]
        return "".join(parts) + f"--{boundary}--\r\n"
    return ""


def run_code(call: NodeCall) -> NodeOutcome:
    """Never runs the code: its outputs are placeholders of the types that it declares."""
    inputs = call.variables_of_data()
    if call.error is not None:
        return NodeOutcome(call.seconds, inputs, error=call.error, error_type="CodeExecutionError")
    declared = call.node.data.get("outputs")
    outputs = {
        str(name): sample_of_type(str(one.get("type")), str(name), one.get("children"))
        for name, one in (declared.items() if isinstance(declared, Mapping) else ())
        if isinstance(one, Mapping)
    }
    return NodeOutcome(call.seconds, inputs, outputs={**outputs})


def run_knowledge(call: NodeCall) -> NodeOutcome:
    """Finds one passage in each of the first of its knowledge bases."""
    query = text_of(call.value(call.node.data.get("query_variable_selector")))
    inputs = {"query": query}
    if call.error is not None:
        return NodeOutcome(
            call.seconds, inputs, error=call.error, error_type="KnowledgeRetrievalNodeError"
        )
    datasets = call.node.data.get("dataset_ids") or ["knowledge"]
    passages = [
        {
            "metadata": {
                "_source": "knowledge",
                "position": position,
                "dataset_id": str(dataset),
                "dataset_name": "knowledge",
                "document_name": f"document {position}",
                "data_source_type": "upload_file",
                "retriever_from": "workflow",
                "score": 0.5,
            },
            "title": f"document {position}",
            "content": f"What is known about {query}",
        }
        for position, dataset in enumerate(datasets[:3], start=1)
    ]
    return NodeOutcome(call.seconds, inputs, outputs={"result": passages})


def run_document_extractor(call: NodeCall) -> NodeOutcome:
    """Gives a text for each document: its name, since nothing reads it."""
    selector = call.node.data.get("variable_selector")
    value = call.find(selector)
    inputs = {"variable_selector": selector}
    if value is ABSENT:
        missing = f"File variable not found for selector: {selector}"
        return NodeOutcome(call.seconds, inputs, error=missing, error_type="DocumentExtractorError")
    files: Sequence[Any] = value if isinstance(value, list) else [value]
    documents = [plain(one) for one in files if isinstance(one, FileRef | InputFile)]
    texts = [f"text of {one.get('filename') or one.get('url')}" for one in documents]
    outputs = {"text": texts if isinstance(value, list) else "".join(texts)}
    return NodeOutcome(call.seconds, inputs, {"documents": documents}, outputs={**outputs})
