"""On which host version and day each check was seen to pass, and with which recording."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERDICTS = Path(__file__).with_name("verified.toml")
FAKE_ONLY = "fake only"
EVERY_EXCHANGE = "every recorded exchange"


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a check was last seen to pass; ``recording`` is "fake only" without a host's own."""

    host_version: str
    day: datetime.date
    recording: str

    def __str__(self) -> str:
        if self.recording == FAKE_ONLY:
            return f"on the fake of {self.host_version} only, {self.day}"
        return f"on Dify {self.host_version}, {self.day}, {self.recording}"


@cache
def verdicts(path: Path = VERDICTS) -> Mapping[str, Seen]:
    """The entries of verified.toml by the names of their checks."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: Seen(entry["host_version"], entry["day"], entry["recording"])
        for name, entry in entries.items()
    }  # fmt: skip
