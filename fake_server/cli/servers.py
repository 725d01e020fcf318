"""The commands that serve until they are stopped: ``serve`` and ``record``."""

from __future__ import annotations

import gc
from typing import Any

import click

from fake_server.cli.options import all_options, named_by_flag, serve_options
from fake_server.recorder.settings import RecorderSettings
from fake_server.settings import SettingsError, read_settings


@click.command()
@serve_options
@named_by_flag()
def serve(**values: Any) -> None:
    """Serve the fake until Ctrl-C or SIGTERM."""
    gc.disable()  # what a start makes stays; collecting it again and again is a tenth of the start
    from fake_server.server.run import serve_forever

    serve_forever(read_settings(values))


@click.command()
@all_options(RecorderSettings)
@click.option("--fetch-pictures/--no-fetch-pictures", default=None, hidden=True)
@named_by_flag()
def record(key_labels: tuple[str, ...], fetch_pictures: bool | None, **values: Any) -> None:
    """Proxy a client's requests to a host and keep them as recordings, without their secrets.

    Ctrl-C or SIGTERM ends it; exit code 1 means that something could not be kept.
    """
    from fake_server.server.record import record_forever

    if fetch_pictures is not None:  # an earlier spelling
        values["fetch_images"] = fetch_pictures
    settings = RecorderSettings(key_labels=tuple(map(_key_and_label, key_labels)), **values)
    click.get_current_context().exit(record_forever(settings))


def _key_and_label(text: str) -> tuple[str, str]:
    key, equals, label = text.rpartition("=")
    if not (key and equals and label):
        raise SettingsError("api_key_label", "a key and its label are needed, as KEY=LABEL")
    return key, label
