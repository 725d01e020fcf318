"""Examples of behaviours: a header, a request, and what matters in the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.pages.scenarios.capture import Capture, Exchanges


@dataclass(frozen=True, slots=True)
class Example:
    """``request`` is "streaming", "blocking", "file" or "image"; what the patterns of ``shows``
    match is not left out.

    The client leaves after ``leaves_s`` seconds; the ``first`` and ``last`` chunks are always
    shown.
    """

    header: str
    request: str = "streaming"
    shows: tuple[str, ...] = ()
    leaves_s: float = 1e6
    first: int = 4
    last: int = 3

    async def capture(self, exchanges: Exchanges) -> Capture:
        """The exchange itself."""
        if self.request == "image":
            return await exchanges.image(self.header)
        return await exchanges.run(self.header, self.request, self.leaves_s)


_STATUS = r'"status": "[^"]*"'
_ERROR = r'"error": "[^"]{0,60}'
_URL = r'"url": (?:null|"[^"]*")'
_PING = "^event: ping"

_EXAMPLES: Mapping[str, Example] = {
    # nodes
    "slow": Example("slow; seconds=40", shows=(_PING,)),
    "node_failed": Example("node_failed; node=llm; error=quota", "blocking", (_STATUS, _ERROR)),
    "tool_failed_silently": Example(
        "tool_failed_silently", "blocking", (_STATUS, r'"files": \[\]')
    ),
    # runs
    "run_failed": Example("run_failed", "blocking", (_STATUS, r'"outputs": null', _ERROR)),
    "stopped": Example("stopped; after_s=5", shows=(r'"status": "stopped"',)),
    "run_limit_600s": Example(
        "run_limit_600s", shows=(r'"status": "stopped"', r'"elapsed_time": [\d.]+')
    ),
    "unknown_status": Example("unknown_status", "blocking", (_STATUS,)),
    # files
    "null_url": Example("null_url", "blocking", (_URL,)),
    "absolute_url": Example("absolute_url; base=http://127.0.0.1:6060", "blocking", (_URL,)),
    "wrong_host": Example("wrong_host", "blocking", (_URL,)),
    "expired_url": Example("expired_url", "image", (r'"message": "[^"]*"',)),
    "unsigned_url": Example("unsigned_url", "blocking", (_URL,)),
    "missing_blob": Example("missing_blob", "image", (r"502 Bad Gateway",)),
    "corrupt_png": Example("corrupt_png; how=html", "image"),
    "huge_png": Example("huge_png; side=30000", "image"),
    # responses
    "http_error": Example("http_error; status=503; body=html", "blocking", (r"<h1>[^<]*",)),
    "gateway_timeout": Example("gateway_timeout", "streaming", (r"<h1>[^<]*",)),
    "rate_limited": Example("rate_limited; retry_after_s=12", "blocking"),
    "concurrency_limit": Example("concurrency_limit", "blocking", (r'"message": "[^"]*"',)),
    # events
    "endless_stream": Example("endless_stream", leaves_s=65.0),
    "ping_storm": Example("ping_storm; every_s=0.5", first=7),
    "no_ping": Example("no_ping, slow; seconds=100"),
    "data_ping": Example("data_ping", first=6),
    "extra_fields": Example("extra_fields", "blocking", (r'"x_added_later": "[^"]*"',)),
    # bodies
    "split_frames": Example("split_frames; where=utf8", first=5, last=2),
    "cut_stream": Example("cut_stream; mid_frame=true"),
    "connection_reset": Example("connection_reset; after=2"),
    "slow_body": Example("slow_body; bytes_per_second=300", "blocking"),
    # upstream
    "upstream_down": Example("upstream_down; service=api", "blocking", (r"<h1>[^<]*",)),
    "remote_file_unreachable": Example("remote_file_unreachable", "file", (r'"message": "[^}]*"',)),
    "sd_failed": Example(
        "sd_failed; how=timeout", "blocking", (_STATUS, r'"files": \[\]', r'"elapsed_time": [\d.]+')
    ),
    "sd_options_failed": Example("sd_options_failed", "blocking", (_STATUS, _ERROR)),
    "llm_failed": Example("llm_failed; how=close", "blocking", (_STATUS, _ERROR)),
}


def example(behaviour: str) -> Example:
    """By default a streaming run with the bare behaviour."""
    return _EXAMPLES.get(behaviour) or Example(behaviour)
