"""The options of a ``FakeHost`` become the settings of a server, or one clear line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fake_server.settings import Settings, SettingsError
from fake_server.testing.host import host_settings


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {"speed": None}),
        ({"speed": "instant"}, {"speed": None}),
        ({"speed": 10}, {"speed": 10}),
        ({"app": "cats.yml"}, {"speed": None, "workflow": Path("cats.yml")}),
        ({"overlay": "a.yaml"}, {"speed": None, "overlays": (Path("a.yaml"),)}),
        (
            {"overlays": ["a.yaml", Path("b.yaml")]},
            {"speed": None, "overlays": (Path("a.yaml"), Path("b.yaml"))},
        ),
        ({"api_key": "app-a"}, {"speed": None, "api_keys": ("app-a",)}),
        ({"api_keys": ["app-a", "app-b"]}, {"speed": None, "api_keys": ("app-a", "app-b")}),
        (
            {"apps": {"app-c": "chat", "app-d": Path("d.yml")}},
            {"speed": None, "apps": (("app-c", "chat"), ("app-d", "d.yml"))},
        ),
        (
            {"clock": datetime(2024, 5, 1, tzinfo=UTC)},
            {"speed": None, "clock": "2024-05-01T00:00:00+00:00"},
        ),
    ],
)
def test_settings_as_tests_write_them(options: dict[str, Any], settings: dict[str, Any]) -> None:
    assert host_settings(options) == Settings(port=0, **settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ap": "x"}, "ap: 'ap' is not a known setting (did you mean 'app'?)"),
        ({"log_format": "json"}, "log_format: 'log_format' is not a known setting"),
        (
            {"speed": "fast"},
            "speed: 'fast' is not a valid speed; use a number above 0, or 'instant'",
        ),
        ({"app": 5}, "workflow: 5 is invalid; Path or None is needed"),
        (
            {"app": "a.yml", "workflow": "b.yml"},
            "workflow: this is the same setting as app; remove one",
        ),
        ({"clock": "soon"}, "clock: 'soon' is not a valid time"),
        ({"clock": 5}, "clock: 5 is invalid"),
        ({"apps": ["app-c"]}, "app: 'app-c' is not KEY=KIND or KEY=FILE"),
        ({"api_key": 5}, "api_keys: 5 is invalid; a string or a list of strings is needed"),
        ({"overlay": [5]}, "overlays: [5] is invalid; a string or a list of strings is needed"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as mistake:
        host_settings(options)
    assert str(mistake.value).startswith(message)
