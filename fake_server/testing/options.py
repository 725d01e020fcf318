"""What a test says of its host, as ``Settings``: the names of the settings, with values as tests
write them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from fake_server.settings import Settings, SettingsError, parse_speed

NOT_OURS = frozenset({"host", "port", "log_format", "ready_file"})
"""A host inside a test listens on any free port of this machine, and tells the test itself
where.
"""

SHORT = {"app": "workflow", "api_key": "api_keys", "overlay": "overlays"}
_KINDS = {field.name: str(field.type) for field in fields(Settings) if field.name not in NOT_OURS}


def host_settings(said: Mapping[str, Any]) -> Settings:
    """The settings of a host on any free port, which waits for nothing unless ``said`` has a speed.

    ``app`` is the app file of the default app, ``apps`` a mapping of further keys to what they
    open. Raises ``SettingsError`` for a name that is no setting and for a value that will not do.
    """
    known: dict[str, Any] = {}
    for name, value in said.items():
        setting = SHORT.get(name, name)
        if setting not in _KINDS:
            raise SettingsError(name, f"there is no such setting{_nearest(name)}")
        if setting in known:
            raise SettingsError(name, f"this and {setting} say the same; leave one out")
        known[setting] = _value(setting, value)
    return Settings(**{"speed": None, **known, "port": 0})


def _nearest(name: str) -> str:
    names = sorted({*_KINDS, *SHORT})
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; use one of: {', '.join(names)}"


def _value(setting: str, value: Any) -> Any:
    if setting == "speed" and isinstance(value, str):
        return parse_speed(value)
    if setting == "apps":
        if not isinstance(value, Mapping):
            raise SettingsError(
                setting, f"{value!r} will not do; a mapping of keys to what they open is needed"
            )
        return tuple((key, str(what)) for key, what in value.items())
    if setting == "clock" and isinstance(value, date):
        return value.isoformat()
    kind = _KINDS[setting]
    if kind.startswith("tuple["):
        entries = [value] if isinstance(value, str | Path) else value
        if not isinstance(entries, list | tuple) or not all(
            isinstance(entry, str | Path) for entry in entries
        ):
            raise SettingsError(
                setting, f"{value!r} will not do; a text or a list of texts is needed"
            )
        return tuple(map(Path, entries)) if kind.startswith("tuple[Path") else tuple(entries)
    return Path(value) if kind.startswith("Path") and isinstance(value, str) else value
