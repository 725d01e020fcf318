"""What a replay refuses before a port is opened, and which recordings are answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dify_wire.exchange import Shortened
from dify_wire.recording import store
from fake_server.app import create_app
from fake_server.cli.servers import serve
from fake_server.replay import (
    app_labels,
    is_checked_live,
    load_recordings,
    recorded_images,
    shortened_bodies,
)
from fake_server.replay.responses import placeholder
from fake_server.settings import AFTER_LAST, ON_MISS, Settings
from tests.recorded import HOST, KEYS
from tests.replay.folders import changed, folder, picture_of, recorded
from tests.serving import ROOT

_REPLAY = ("--replay", str(HOST))


def _refused(*args: str) -> str:
    """What the command says as it refuses."""
    command = [sys.executable, "-m", "fake_server", "serve", "--port", "0", *args]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr


def test_a_folder_that_cannot_be_used_is_refused_with_its_file_and_place(tmp_path: Path) -> None:
    assert "no-folder" in _refused("--replay", str(tmp_path / "no-folder"))
    path = folder(tmp_path, recorded()["sib_info"])
    file = next(path.glob("*.yaml"))
    text = file.read_text()
    file.write_text(text.replace("format: 1", "format: 2"))
    output = _refused("--replay", str(path))
    assert f"{file}: format: 2 is newer than 1" in output
    assert "update fake-dify" in output
    file.write_text(text[:-10])
    assert str(file) in _refused("--replay", str(path))


@pytest.mark.parametrize(
    ("flags", "output"),
    [
        (
            ("--on-miss", "fake"),
            "--on-miss: it applies to a replay; name a folder of recordings with --replay",
        ),
        (
            ("--replay", str(HOST), "--on-miss", "record"),
            "--on-miss: record needs a host; name it with --upstream",
        ),
        (
            ("--replay", str(HOST), "--on-miss", "forward", "--upstream", "ftp://x"),
            "--upstream: 'ftp://x' is not an http or https address",
        ),
        (
            ("--replay", str(HOST), "--upstream", "http://x"),
            "--upstream: nothing is forwarded to it",
        ),
    ],
)
def test_contradictions_are_refused(flags: tuple[str, ...], output: str) -> None:
    assert output in _refused(*flags)


def test_the_choices_of_the_flags_are_those_of_the_settings_and_of_the_library() -> None:
    choices = {option.name: getattr(option.type, "choices", ()) for option in serve.params}
    assert tuple(choices["on_miss"]) == ON_MISS
    assert tuple(choices["after_last"]) == AFTER_LAST == store.AFTER_LAST


def test_labels_are_those_of_a_recorder() -> None:
    apps = (("k3", "chat"), ("k4", "workflow"), ("k5", "some/folder/cats.yml"))
    beside = ("k6", "some/dogs.yml+some/dogs.fake.yml")
    labels = app_labels(Settings(api_keys=("k1", "k2"), apps=(*apps, beside)))
    assert list(labels.values()) == ["main", "main", "chat", "main", "cats", "dogs"]


def test_a_replay_of_another_version_is_a_warning() -> None:
    recordings = HOST.parent / "dify-1.14.2"
    app = create_app(Settings(replay=recordings, host_version="1.13"))
    (warning,) = app.warnings
    assert "recorded from Dify 1.14.2" in warning
    assert not create_app(Settings(replay=recordings, host_version="1.14")).warnings


def test_what_is_refused_before_anything_is_looked_up_answers_nothing() -> None:
    live = {name for name, recording in recorded().items() if is_checked_live(recording)}
    assert {"auth_unknown", "auth_none", "auth_two_headers", "body_16M", "method_TRACE"} & set(
        recorded()
    ) <= live
    assert (
        not {"down_api", "app_status_disabled_params", "body_null", "ct_form", "upload_11M"} & live
    )


def test_recordings_without_a_label_or_a_key_answer_every_app(tmp_path: Path) -> None:
    index = changed("sib_index", app="main")
    loaded = load_recordings(
        folder(tmp_path, index, changed("sib_info", app=None), recorded()["stream_ok"]),
        frozenset({"/v1/"}),
    )
    assert [one.name for one in loaded.others] == ["sib_index", "sib_info"]
    assert [one.app for one in loaded.others] == [None, None]
    assert [one.name for one in loaded.labelled] == ["stream_ok"]


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    half = changed("stream_ok", shortened=Shortened(99_999))
    loaded = load_recordings(folder(tmp_path, half), frozenset())
    assert loaded.labelled == []
    assert recorded_images([recorded()["file_ok"]]) == {}


def test_a_long_request_is_known_by_its_beginning_and_length() -> None:
    request = replace(recorded()["stream_ok"].request, body=b"abc", shortened=Shortened(5))
    as_kept = shortened_bodies([changed("stream_ok", request=request)])
    assert [as_kept(body) for body in (b"abcde", b"abcd", b"abdde", b"")] == [
        b"abc",
        b"abcd",
        b"abdde",
        b"",
    ]
    digest = "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c"  # of abcde
    exact = shortened_bodies(
        [changed("stream_ok", request=replace(request, shortened=Shortened(5, digest)))]
    )
    assert [exact(body) for body in (b"abcde", b"abcdf")] == [b"abc", b"abcdf"]


@pytest.mark.parametrize(
    "spoiled", [{"status": 502}, {"ended": "cut"}, {"chunks": ()}, {"shortened": Shortened(9)}]
)
def test_only_whole_pictures_are_pictures(spoiled: dict[str, object]) -> None:
    picture = picture_of("0A8A5B63-94cf-4bb0-8d3c-9f8b2b4f7a11")
    assert recorded_images([picture]) == {"0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11": picture}
    assert recorded_images([replace(picture, **spoiled)]) == {}  # type: ignore[arg-type]


def test_a_placeholder_shows_the_prompt_of_the_node_or_of_the_request() -> None:
    file_id = "a3065a8b-8146-44d4-849f-e4773cec0cb6"
    drawn = placeholder(recorded()["stream_ok"], file_id)
    assert drawn.prompt not in ("", "一个胸有成竹的男人")  # what the model wrote of it
    assert placeholder(recorded()["block_ok_doc_example"], file_id).prompt == "一个胸有成竹的男人"
    assert placeholder(recorded()["sib_info"], file_id).prompt == ""


def test_no_key_of_the_recorded_host_is_a_key_of_the_replay() -> None:
    """A label is enough: the keys of a replay are its own."""
    assert set(KEYS.values()).isdisjoint(app_labels(Settings()))
