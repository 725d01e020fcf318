"""What a test says of its host becomes the settings of a server, or one clear line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fake_server.settings import Settings, SettingsError
from fake_server.testing.options import host_settings


@pytest.mark.parametrize(
    ("said", "settings"),
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
def test_settings_as_tests_write_them(said: dict[str, Any], settings: dict[str, Any]) -> None:
    assert host_settings(said) == Settings(port=0, **settings)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"ap": "x"}, "ap: there is no such setting; did you mean 'app'?"),
        ({"log_format": "json"}, "log_format: there is no such setting"),
        ({"speed": "fast"}, "speed: 'fast' is no speed; use a number above 0, or 'instant'"),
        ({"app": 5}, "workflow: 5 will not do; Path or None is needed"),
        (
            {"app": "a.yml", "workflow": "b.yml"},
            "workflow: this and workflow say the same; leave one out",
        ),
        ({"clock": "soon"}, "clock: 'soon' is no moment"),
        ({"clock": 5}, "clock: 5 will not do"),
        (
            {"apps": ["app-c"]},
            "apps: ['app-c'] will not do; a mapping of keys to what they open is needed",
        ),
        ({"api_key": 5}, "api_keys: 5 will not do; a text or a list of texts is needed"),
        ({"overlay": [5]}, "overlays: [5] will not do; a text or a list of texts is needed"),
    ],
)
def test_mistakes_are_told(said: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as mistake:
        host_settings(said)
    assert str(mistake.value).startswith(told)
