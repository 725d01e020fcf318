"""What the server says and uses while it is fuzzed: its log has requests and nothing else, its
memory stays.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving import ServerProcess

_FIELDS = {
    "time", "level", "logger", "message", "client", "method", "path", "operation", "status",
    "bytes", "ms",
}  # fmt: skip
_SIGNATURE = re.compile(r"[?&](?:sign|nonce)=(?!\[redacted\])[^& ]")


@dataclass(slots=True)
class Log:
    """The log of a server that writes ``--log-format json``, from the moment it was ready on."""

    path: Path
    start: int
    lines: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def problems(self) -> Iterator[str]:
        """Lines that must not be there, among those that are new since the last call."""
        with self.path.open("rb") as log:
            log.seek(self.start)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # it is still being written
                self.start += len(line)
                self.lines += 1
                wrong = self._wrong(line.decode("utf-8", "replace").rstrip("\n"))
                if wrong:
                    yield wrong

    def _wrong(self, line: str) -> str:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            return f"not JSON: {line[:300]}"
        if (
            entry.get("logger") != "fake_server.access"
            or entry.get("level") != "info"
            or entry.keys() - ({"hint"} if entry.get("status") == 401 else set()) != _FIELDS
        ):
            parts = {
                name: entry[name] for name in ("logger", "message", "exception") if name in entry
            }
            return f"not a request: {parts}"
        if _SIGNATURE.search(entry["path"]):
            return f"a signature: {line[:300]}"
        self.statuses[entry["status"]] += 1
        return ""


def log_of(server: ServerProcess) -> Log:
    """What ``server`` writes from now on."""
    return Log(server.log, server.log.stat().st_size)


@dataclass(slots=True)
class Memory:
    """The resident memory of a process, sampled as requests are sent."""

    pid: int
    every: int = 500
    samples: list[tuple[int, int]] = field(default_factory=list)

    def on_request(self, sent: int) -> None:
        if sent % self.every == 0:
            self.sample(sent)

    def sample(self, sent: int) -> int:
        """The memory now in kB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        resident = int(
            next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]
        )
        self.samples.append((sent, resident))
        return resident

    def at(self, sent: int) -> int:
        """The memory in kB when ``sent`` requests had been sent, or the nearest sample after."""
        return next(
            (kilobytes for at, kilobytes in self.samples if at >= sent), self.samples[-1][1]
        )
