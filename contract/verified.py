"""Dated verdicts: on which host version and day each check was seen to hold, and in which recording
(verified.toml).
"""

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
    """Where a check was last seen to hold. ``recording`` is ``"fake only"`` where no host's
    recording shows it.
    """

    host_version: str
    day: datetime.date
    recording: str

    def __str__(self) -> str:
        if self.recording == FAKE_ONLY:
            return f"on the fake of {self.host_version} only, {self.day}"
        return f"on Dify {self.host_version}, {self.day}, {self.recording}"


@cache
def verdicts(path: Path = VERDICTS) -> Mapping[str, Seen]:
    """The verdicts by the names of their checks."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: Seen(entry["host_version"], entry["day"], entry["recording"])
        for name, entry in entries.items()
    }  # fmt: skip
