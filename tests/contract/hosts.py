"""Hosts on loopback that answer in their own way: raw bytes on a raw socket, nothing of HTTP is
tidied up.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

CONTRACT_AS_IN_A_TERMINAL = [
    sys.executable,
    "-c",
    (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from "
        "contract.cli import main; main()"
    ),
]
"""The command ``contract`` with Ctrl-C in force.

A shell starts what it runs in the background with SIGINT ignored, and the command keeps to that, as
all commands do: a test that sends SIGINT must not hang on how the test run itself was started.
"""

Behaviour = Callable[[socket.socket, bytes], None]
"""Gets the connection and the whole request; the connection is closed when it returns."""


@contextlib.contextmanager
def host(behave: Behaviour) -> Iterator[str]:
    """The address of a host that treats each request as ``behave`` does, one request to a
    connection.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    open_ones: set[socket.socket] = set()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behave(connection, _request(connection))
        open_ones.discard(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_ones.add(connection)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        _end(listener, *tuple(open_ones))
        for thread in tuple(threads):
            thread.join(10)


def _end(*sockets: socket.socket) -> None:
    """Wake up whoever waits on them, and close them."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line[15:])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def answer(
    body: bytes, status: str = "200 OK", content_type: str = "application/json", *headers: str
) -> bytes:
    """A whole answer."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def saying(*answers: bytes) -> Behaviour:
    """A host that gives each request the next of ``answers``, the last one again and again."""
    left = list(answers)
    lock = threading.Lock()

    def behave(connection: socket.socket, _: bytes) -> None:
        with lock:
            given = left.pop(0) if len(left) > 1 else left[0]
        connection.sendall(given)

    return behave


_OFF = {"enabled": False}
_PROMPT = {
    "variable": "prompt",
    "label": "prompt",
    "type": "paragraph",
    "required": True,
    "max_length": 1000,
    "options": [],
}
_MODELS = [
    "chilloutmix_NiPrunedFp32Fix",
    "dosmix_",
    "ghostmix_v20Bakedvae",
    "rundiffusionFX_v10",
    "v1-5-pruned-emaonly",
]
_MODEL = {
    "variable": "model_name",
    "label": "model",
    "type": "select",
    "required": False,
    "max_length": 48,
}
FORM: dict[str, Any] = {
    "opening_statement": "",
    "suggested_questions": [],
    **dict.fromkeys(("suggested_questions_after_answer", "speech_to_text"), _OFF),
    "text_to_speech": {**_OFF, "voice": "", "language": ""},
    **dict.fromkeys(("retriever_resource", "annotation_reply", "more_like_this"), _OFF),
    "user_input_form": [{"paragraph": _PROMPT}, {"select": {**_MODEL, "options": _MODELS}}],
    "sensitive_word_avoidance": {**_OFF, "type": "", "configs": []},
    "file_upload": {
        "image": {**_OFF, "number_limits": 3, "transfer_methods": ["remote_url", "local_file"]}
    },
    "system_parameters": {"image_file_size_limit": "10"},
}
REFUSED = {
    "code": "invalid_param",
    "message": "Missing required parameter in the JSON body",
    "params": "inputs",
}


def dify_at_first(behave: Behaviour, times: float = 1) -> Behaviour:
    """A host that passes the suite's first look as a Dify does, so many ``times``, and then does as
    ``behave``.
    """
    form, refusal = answer(json.dumps(FORM).encode() + b"\n"), json.dumps(REFUSED).encode() + b"\n"
    first_looks = {
        b"GET /v1/parameters ": form,
        b"POST /v1/workflows/run ": answer(refusal, "400 BAD REQUEST"),
        b"POST /v1/workflows/tasks/preflight/stop ": answer(b'{"result": "success"}\n'),
    }
    left = dict.fromkeys(first_looks, times)

    def look(connection: socket.socket, request: bytes) -> None:
        start = next((start for start in first_looks if request.startswith(start)), b"")
        if left.get(start, 0) > 0 and b'"inputs"' not in request:
            left[start] -= 1
            connection.sendall(first_looks[start])
        else:
            behave(connection, request)

    return look


def refused_address() -> str:
    """An address on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
