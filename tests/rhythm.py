"""A slow stream in real time beside the recorded one: ``python -m tests.rhythm``, 36 seconds, exit
code 1 if it is off.

The recorded app ``simple`` is served with a tool that takes as long as it took then, and asked what
it was asked then. A ping has to come within 0.2 s of the recorded one: the host sends it by its own
clock. Any other frame within 0.5 s: it comes when the nodes before it are done, and on the recorded
day the database took them some 0.1 s more or less. And each frame has to come by itself: one that
waits for the next is what a buffering proxy does, not this host.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.recorded import APPS, KEYS, exchanges
from tests.serving import Connection, server_process

RECORDED = "slow_stream_35s"
_APP = "simple"
_TOOL_S = 35.2
_PING_TOLERANCE_S = 0.2
_TOLERANCE_S = 0.5
_PATIENCE_S = 30.0
"""Of the reader, for one frame: the host lets it wait 10 s."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a frame came, in seconds after the request. ``what`` is its event, with the kind of
    node.
    """

    what: str
    recorded_s: float
    here_s: float

    @property
    def late_s(self) -> float:
        return self.here_s - self.recorded_s

    @property
    def on_time(self) -> bool:
        return abs(self.late_s) <= (_PING_TOLERANCE_S if self.what == "ping" else _TOLERANCE_S)


def arrivals(speed: float, *flags: str) -> list[Arrival]:
    """Send the recorded request to a server at ``speed`` and note when the frames come, told in
    seconds of the run.
    """
    recorded = exchanges()[RECORDED]
    assert recorded.body is not None
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / f"{_APP}.yml"
        app.write_text(_slow_app(), encoding="utf-8")
        served = ("--speed", str(speed), "--app", f"{KEYS[_APP]}={app}", *flags)
        with (
            server_process(*served) as server,
            Connection(server.host, server.port, _PATIENCE_S) as connection,
        ):
            connection.send(recorded.request)
            frames = list(connection.frames())
    wanted = [_what(frame) for frame in recorded.body.split(b"\n\n")[:-1]]
    assert [_what(frame) for _, frame in frames] == wanted, "the frames are not the recorded ones"
    return [
        Arrival(what, recorded_s, at_s * speed)
        for what, recorded_s, (at_s, _) in zip(wanted, recorded.frame_times, frames, strict=True)
    ]


def _slow_app() -> str:
    """The recorded app, its tool taking the recorded time to the second."""
    text = (APPS / f"{_APP}.yml").read_text(encoding="utf-8")
    slow, count = re.subn(
        r"(type: tool\n(?:.*\n)*?.*x-fake: )\{.*\}", rf"\1{{seconds: {_TOOL_S}, spread: 0}}", text
    )
    assert count == 1
    return slow


def _what(frame: bytes) -> str:
    if frame == b"event: ping":
        return "ping"
    event = json.loads(frame.removeprefix(b"data: "))
    return " ".join(filter(None, [event["event"], event["data"].get("node_type")]))


def came_together(found: Sequence[Arrival]) -> list[str]:
    """The frames that came in one piece with the frame before."""
    return [
        later.what for earlier, later in itertools.pairwise(found) if earlier.here_s == later.here_s
    ]


def _table(found: Sequence[Arrival]) -> str:
    lines = [f"{'frame':<22} {'recorded':>9} {'ours':>9} {'difference':>11}"]
    for arrival in found:
        off = "" if arrival.on_time else "  off"
        lines.append(
            f"{arrival.what:<22} {arrival.recorded_s:>9.3f} {arrival.here_s:>9.3f} "
            f"{arrival.late_s:>+11.3f}{off}"
        )
    return "\n".join(lines)


def main() -> int:
    """Compare at the host's own speed and print the table; the exit code says whether it is the
    host's rhythm.
    """
    found = arrivals(speed=1)
    print(_table(found))
    together = came_together(found)
    if together:
        print(f"in one piece with the frame before: {', '.join(together)}")
    return 0 if all(arrival.on_time for arrival in found) and not together else 1


if __name__ == "__main__":
    sys.exit(main())
