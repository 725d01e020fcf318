"""A folder of recordings, checked and sorted: responses to replay, images, shortened bodies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dify_wire.exchange import MAIN, UUID, AppKind, Recording
from dify_wire.recording.folder import read_folder
from fake_server.settings import Settings

_PROXY_ERRORS = (400, 405, 413, 414)
_IMAGE_PATH = re.compile(rf"/files/tools/((?i:{UUID}))\.[^/]+")


@dataclass(frozen=True, slots=True)
class LoadedRecordings:
    """The recordings that can be responses: those ``labelled`` with an app, and ``others``.

    The others were recorded without a label, or need no key; they may answer any app. ``images``
    are the whole images by the ids of their files.
    """

    labelled: Sequence[Recording]
    others: Sequence[Recording]
    images: Mapping[str, Recording]


def load_recordings(folder: Path, without_key: frozenset[str]) -> LoadedRecordings:
    """The recordings in ``folder``; the paths in ``without_key`` are the same for every app.

    Raises ``RecordingError`` for anything in it that cannot be used.
    """
    whole = read_folder(folder)
    labelled: list[Recording] = []
    others: list[Recording] = []
    for one in whole:
        if is_checked_live(one) or one.shortened:
            continue
        if one.app is None or one.request.path in without_key:
            others.append(replace(one, app=None))
        else:
            labelled.append(one)
    return LoadedRecordings(labelled, others, recorded_images(whole))


def is_checked_live(recording: Recording) -> bool:
    """Whether the host rejected the request before it read it: for its key, or a proxy's limits.

    But for its headers such a request may be the same as a good one, which must not get this.
    """
    is_page = recording.header("content-type", "").lower() == "text/html"
    return recording.status == 401 or (is_page and recording.status in _PROXY_ERRORS)


def recorded_images(recordings: Iterable[Recording]) -> dict[str, Recording]:
    """The whole images among ``recordings``, by the ids of their files."""
    found: dict[str, Recording] = {}
    for one in recordings:
        path = _IMAGE_PATH.fullmatch(one.request.path)
        is_whole = one.ended == "complete" and one.shortened is None and bool(one.chunks)
        if path and is_whole and one.request.method == "GET" and one.status == 200:
            found.setdefault(path[1].lower(), one)
    return found


def shortened_bodies(recordings: Iterable[Recording]) -> Callable[[bytes], bytes]:
    """A function that shortens a request's body where only its beginning was recorded."""
    recorded = [
        (one.request.shortened, one.request.body) for one in recordings if one.request.shortened
    ]

    def as_recorded(body: bytes) -> bytes:
        for shortened, beginning in recorded:
            if len(body) == shortened.size and body.startswith(beginning):
                digest = shortened.sha256
                if digest is None or hashlib.sha256(body).hexdigest() == digest:
                    return beginning
        return body

    return as_recorded


def app_labels(settings: Settings) -> dict[str, str]:
    """What recordings call the app of each key: ``main``, a KIND, or the stem of an app file."""
    labels = dict.fromkeys(settings.api_keys, MAIN)
    for key, app in settings.apps:
        if app == AppKind.WORKFLOW:
            labels[key] = MAIN
        else:
            labels[key] = app if app in set(AppKind) else Path(app).stem
    return labels
