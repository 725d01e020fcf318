"""The page: a registered constant is a line of it, with the value that the code has and what its
docstring says.

To list another one, add ``"module.CONSTANT"`` to a part of ``PARTS``; its docstring says what
happens at the bound.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import sys
from collections.abc import Mapping

from fake_server.settings import Settings
from fake_server.spec import load_host
from tests.pages.markdown import generated, introduction

_VERSION = Settings().host_version

HOST: Mapping[str, str] = {
    "request_line_bytes": "nginx: a longer request line, with its end, gets 414 as it arrives.",
    "header_line_bytes": (
        "nginx: a longer header line gets 400 (Request Header Or Cookie Too Large)."
    ),
    "headers_bytes": "nginx: header lines of more together get the same; so do trailers and chunk "
    "extensions, which nginx itself does not bound.",
    "request_body_bytes": (
        "nginx: a larger body is refused with 413, by its length before it is read."
    ),
    "upload_image_bytes": "Dify: a larger image is refused with 413.",
    "upload_file_bytes": "Dify: a larger document is refused with 413.",
    "url_lifetime_s": "Dify: an older signed URL is refused with 403.",
    "run_s": "Dify: a run that takes longer is stopped.",
    "run_steps": "Dify: a run of more steps fails.",
    "user_characters": "Dify: a longer user gets status 500.",
}
"""The host's limits of ``fake_server.spec.Limits``, which are data of the overlay."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "The app server of the host": (
        "fake_server.http.nginx.REQUEST_LINE_BYTES",
        "fake_server.http.nginx.HEADER_LINES",
        "fake_server.http.nginx.HEADER_LINE_BYTES",
        "fake_server.http.form.FORM_PARTS",
    ),
    "The server": (
        "fake_server.server.protocols.LINGER_S",
        "fake_server.server.protocols.LINGER_IDLE_S",
        "fake_server.server.protocols.LINGER_BYTES",
        "fake_server.server.protocols.LINGER_REFUSED_BYTES",
        "fake_server.server.protocols.RECORDER_LIMITS",
        "fake_server.server.server.KEEP_ALIVE_S",
        "fake_server.server.server.GRACE_S",
        "fake_server.server.server.UNREAD_S",
        "fake_server.server.heads.KNOWN_BYTES",
        "fake_server.server.log.TOGETHER_S",
        "fake_server.server.log.WAITING_BYTES",
        "fake_server.http.form.FORM_BYTES",
        "fake_server.http.form.CONTENT_BYTES",
        "fake_server.clock.LATEST",
        "fake_server.runs.records.RECORDS",
        "fake_server.runs.records.TEXT_BYTES",
        "fake_server.runs.records.WAITING_FRAMES",
        "fake_server.store.FORMS",
        "fake_server.store.UPLOAD_CONTENT_BYTES",
    ),
    "Journal and admin API": (
        "fake_server.journal.exchanges.ENTRIES",
        "fake_server.journal.exchanges.BYTES",
        "fake_server.journal.entry.KEPT_BYTES",
        "fake_server.admin.call.BODY_BYTES",
        "fake_server.admin.calls.LONGEST_WAIT_S",
        "fake_server.admin.changes.MOST_CONSOLES",
        "fake_server.admin.runs.MOST_RUNS",
        "fake_server.runs.recent.RUNS",
        "fake_server.runs.recent.BYTES",
    ),
    "Recorder, recordings and replay": (
        "dify_wire.recording.matching.FORM_FIELDS",
        "dify_wire.recording.decoding.MOST_DECODED_BYTES",
        "dify_wire.recording.decoding.MOST_RATIO",
        "dify_wire.recording.decoding.FREE_BYTES",
        "dify_wire.recording.decoding.MOST_MEMBERS",
        "dify_wire.recording.decoding.MOST_CODINGS",
        "dify_wire.recording.har_file.MOST_ARCHIVE_BYTES",
        "dify_wire.recording.bodies.MOST_BODY_BYTES",
        "dify_wire.recording.bodies.MOST_CHUNKS",
        "fake_server.recorder.writing.WAITING_BYTES",
        "fake_server.recorder.writing.CAPACITY_WAIT_S",
        "fake_server.recorder.writing.STUCK_S",
        "fake_server.recorder.images.MOST_WAITING",
        "fake_server.recorder.images.CLIENT_FIRST_S",
        "fake_server.recorder.images.END_S",
    ),
    "Files of users": (
        "dify_wire.text_file.FILE_BYTES",
        "dify_wire.yaml_file.NESTING",
        "dify_wire.yaml_file.VALUES",
        "dify_wire.overlay.VISITS",
        "dify_wire.spec.DEEPEST",
        "dify_wire.recording.document.LONGEST_S",
        "dify_wire.recording.document.LATEST_S",
        "fake_server.runs.engine.MOST_PINGS",
        "fake_server.runs.walk.MOST_NODES",
    ),
}
"""The registered constants, by the part of the page that lists them."""


def limits_page() -> str:
    """The whole page."""
    limits = load_host(_VERSION).limits
    host = [_line(name, getattr(limits, name), text) for name, text in HOST.items()]
    parts = [_part(f"The host, Dify {_VERSION}", host)]
    parts += [_part(title, [_constant(name) for name in names]) for title, names in PARTS.items()]
    return generated("\n".join([introduction("limits"), *parts]))


def docstring(name: str) -> str:
    """What stands below the constant ``name`` in its module, in one line; "" where nothing does."""
    module, _, constant = name.rpartition(".")
    body = ast.parse(inspect.getsource(importlib.import_module(module))).body
    for statement, following in itertools.pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == constant for target in targets):
            docstring_node = following.value if isinstance(following, ast.Expr) else None
            text = docstring_node.value if isinstance(docstring_node, ast.Constant) else ""
            return " ".join(text.split()) if isinstance(text, str) else ""
    return ""


def _constant(name: str) -> str:
    module, _, constant = name.rpartition(".")
    return _line(name, getattr(importlib.import_module(module), constant), docstring(name))


def _part(title: str, lines: list[str]) -> str:
    return "\n".join(
        [f"## {title}", "", "| limit | value | at the bound |", "|---|---|---|", *lines, ""]
    )


def _line(name: str, value: object, text: str) -> str:
    shown = _shown(name, value) if isinstance(value, int | float) else _of_parts(value)
    return f"| `{name}` | {shown} | {text.replace('``', '`').replace('|', chr(92) + '|')} |"


def _of_parts(value: object) -> str:
    """A named tuple of limits; a number that is as large as one can be is no limit."""
    fields: dict[str, int] = getattr(value, "_asdict", dict)()
    parts = [
        f"{name} {'none' if one == sys.maxsize else f'{one:,}'}" for name, one in fields.items()
    ]
    return ", ".join(parts) or str(value)


def _shown(name: str, value: float) -> str:
    unit = name.rpartition("_")[2].lower()
    if unit in ("bytes", "size") or name.endswith("ring.BYTES"):
        for factor, word in ((1 << 20, "MiB"), (1 << 10, "KiB")):
            if value >= factor and value % factor == 0:
                return f"{value // factor:,.0f} {word}"
        return f"{value:,.0f} bytes"
    return f"{value:,g} s" if unit == "s" else f"{value:,.0f}"
