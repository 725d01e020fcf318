"""Settings: what can be used is taken as it is, what cannot is refused with its name and the
mend.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.app_kind import AppKind
from dify_wire.profile import HOST_VERSIONS
from fake_server.apps import load_apps
from fake_server.host_spec import HostSpec
from fake_server.settings import DEFAULT_API_KEY, Settings, SettingsError, parse_speed

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"port": "6060"}, "port", "'6060' is invalid; int is needed"),
    ({"speed": "instant"}, "speed", "'instant' is invalid; float or int or None is needed"),
    ({"api_keys": "app-one"}, "api_keys", "'app-one' is invalid; tuple is needed"),
    ({"ready_file": "ready.json"}, "ready_file", "'ready.json' is invalid; Path or None is needed"),
    ({"seed": True}, "seed", "True is invalid; int or None is needed"),
    (
        {"host": ""},
        "host",
        "an empty address would listen everywhere; if you want that, use 0.0.0.0",
    ),
    ({"port": -1}, "port", "-1 is not a valid port; use 0 (any free one) to 65535"),
    ({"port": 65536}, "port", "65536 is not a valid port; use 0 (any free one) to 65535"),
    ({"speed": 0.0}, "speed", "0.0 is not a valid speed; use a number above 0, or 'instant'"),
    ({"speed": -1.0}, "speed", "-1.0 is not a valid speed; use a number above 0, or 'instant'"),
    (
        {"speed": float("nan")},
        "speed",
        "nan is not a valid speed; use a number above 0, or 'instant'",
    ),
    (
        {"speed": float("inf")},
        "speed",
        "inf is not a valid speed; use a number above 0, or 'instant'",
    ),
    ({"api_keys": ()}, "api_key", "at least one key is needed"),
    (
        {"api_keys": ("",)},
        "api_key",
        "'' cannot be sent in a header; use printable ASCII without spaces",
    ),
    (
        {"api_keys": ("a b",)},
        "api_key",
        "'a b' cannot be sent in a header; use printable ASCII without spaces",
    ),
    (
        {"api_keys": ("钥匙",)},
        "api_key",
        "'钥匙' cannot be sent in a header; use printable ASCII without spaces",
    ),
    (
        {"api_keys": ("a\n",)},
        "api_key",
        "'a\\n' cannot be sent in a header; use printable ASCII without spaces",
    ),
    ({"api_keys": ("a", "b", "a")}, "api_key", "the same key is given twice"),
    (
        {"apps": (("a b", "chat"),)},
        "api_key",
        "'a b' cannot be sent in a header; use printable ASCII without spaces",
    ),
    ({"on_miss": "guess"}, "on_miss", "'guess' is not one of error, fake, forward, record"),
    ({"after_last": "end"}, "after_last", "'end' is not one of repeat, miss"),
    (
        {"on_miss": "error"},
        "on_miss",
        "it applies to a replay; name a folder of recordings with --replay",
    ),
    (
        {"after_last": "miss"},
        "after_last",
        "it applies to a replay; name a folder of recordings with --replay",
    ),
    (
        {"replay": Path("r"), "on_miss": "forward"},
        "on_miss",
        "forward needs a host; name it with --upstream",
    ),
    (
        {"replay": Path("r"), "on_miss": "fake", "upstream": "http://h"},
        "upstream",
        "nothing is forwarded to it; add --on-miss forward or record",
    ),
    (
        {"secret_key": ""},
        "secret_key",
        "an empty key signs nothing; leave it out to use the default",
    ),
    ({"secret_key": "a\udcff"}, "secret_key", "it is not UTF-8 text; use another key"),
    (
        {"admin_token": "a b"},
        "admin_token",
        "it cannot be sent in a header; use printable ASCII without spaces, or leave it out",
    ),
    *[
        (
            {"admin_origins": ("http://localhost:5173", origin)},
            "admin_origin",
            f"'{origin}' is not what a browser sends; write it as http://localhost:5173",
        )
        for origin in (
            *("*", "null", "localhost:5173", "http://localhost:5173/", "http://LOCALHOST"),
            *("http://localhost:80", "https://a.example:443", "ws://a.example", ""),
        )
    ],
    (
        {"files_url": "host:6060"},
        "files_url",
        "'host:6060' is not an http(s) address; leave it empty for relative URLs",
    ),
    (
        {"files_url": "http:///x"},
        "files_url",
        "'http:///x' is not an http(s) address; leave it empty for relative URLs",
    ),
    ({"log_format": "xml"}, "log_format", "'xml' is not one of human, json"),
    (
        {"ssl_certfile": Path("c.pem")},
        "ssl_certfile",
        "TLS needs both --ssl-certfile and --ssl-keyfile; give the other one too",
    ),
    (
        {"ssl_keyfile": Path("k.pem")},
        "ssl_certfile",
        "TLS needs both --ssl-certfile and --ssl-keyfile; give the other one too",
    ),
    (
        {"ssl_certfile": Path("/nowhere/c.pem"), "ssl_keyfile": Path("/nowhere/k.pem")},
        "ssl_certfile",
        "/nowhere/c.pem is not a file that can be read",
    ),
]


@pytest.mark.parametrize(("values", "setting", "message"), WRONG)
def test_a_value_that_cannot_be_used_is_refused(
    values: dict[str, Any], setting: str, message: str
) -> None:
    """With the name of the setting, what is wrong with it, and what to do."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert (caught.value.setting, str(caught.value)) == (setting, f"{setting}: {message}")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"port": 0},
        {"port": 65535},
        {"speed": None},
        {"speed": 0.001},
        {"speed": 1e9},
        {"api_keys": ("a", "b")},
        {"files_url": "https://host"},
        {"files_url": "http://host:6060/prefix"},
        {"secret_key": "钥匙"},
        {"log_format": "json"},
    ],
)
def test_a_value_that_can_be_used_is_kept(values: dict[str, Any]) -> None:
    """As it was given; everything else is the default."""
    settings = Settings(**values)
    for name, value in values.items():
        assert getattr(settings, name) == value
    assert dataclasses.replace(Settings(), **values) == settings


def test_settings_do_not_change() -> None:
    """They are frozen: a server means what it said at its start."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # that is the point


def test_the_defaults_are_a_server_on_this_machine_only() -> None:
    """The newest recorded host on loopback, ten times as fast, with a key of the host's form."""
    settings = Settings()
    assert (settings.host, settings.port, settings.speed, settings.seed) == (
        "127.0.0.1",
        6060,
        10.0,
        None,
    )
    assert settings.host_version in HOST_VERSIONS
    assert re.fullmatch(r"app-[A-Za-z0-9]{24}", DEFAULT_API_KEY)
    assert settings.api_keys == (DEFAULT_API_KEY,)


@pytest.mark.parametrize(
    ("text", "speed"),
    [("instant", None), ("1", 1.0), ("10", 10.0), (" 0.5 ", 0.5), ("1e3", 1000.0)],
)
def test_a_speed_is_a_number_or_instant(text: str, speed: float | None) -> None:
    """As a person writes it."""
    assert parse_speed(text) == speed


@given(st.text())
def test_any_other_speed_is_refused(text: str) -> None:
    """Whatever is written, it is a speed that can be used or an error that names it."""
    try:
        speed = parse_speed(text)
        Settings(speed=speed)
    except SettingsError as error:
        assert error.setting == "speed"  # noqa: PT017  # most texts are refused, and it is said how
    else:
        assert speed is None or speed > 0


# Apps
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(AppKind))
def test_a_key_may_open_an_app_of_any_kind(host_spec: HostSpec, kind: AppKind) -> None:
    """A second key with ``workflow`` opens the default app itself; other kinds have nothing to
    run.
    """
    apps = load_apps(["a"], [("b", kind.value)], None, host_spec)
    assert apps["a"].kind is AppKind.WORKFLOW
    if kind is AppKind.WORKFLOW:
        assert apps["b"] is apps["a"]
    else:
        assert (apps["b"].kind, apps["b"].workflow) == (kind, None)
        assert apps["b"].app_id != apps["a"].app_id


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([("a", "chat")], "app: the key 'a' is given twice; each key belongs to one app"),
        (
            [("b", "chat"), ("b", "deleted")],
            "app: the key 'b' is given twice; each key belongs to one app",
        ),
        (
            [("b", "chatt")],
            (
                "app: 'chatt' is neither a kind "
                "(workflow, chat, unpublished, disabled, deleted) nor an app file"
            ),
        ),
    ],
)
def test_an_app_that_cannot_be_had_is_refused(
    host_spec: HostSpec, others: list[tuple[str, str]], message: str
) -> None:
    """A key belongs to one app, and an app is a kind or a file."""
    with pytest.raises(SettingsError) as caught:
        load_apps(["a"], others, None, host_spec)
    assert str(caught.value) == message
