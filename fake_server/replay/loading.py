"""A folder of recordings, checked and sorted: what is replayed, what is a picture, what is judged
live anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dify_wire.app_kind import AppKind
from dify_wire.exchange import MAIN, Recording
from dify_wire.recording.folder import read_folder
from fake_server.settings import Settings

_REFUSALS_OF_PROXIES = (400, 405, 413, 414)


@dataclass(frozen=True, slots=True)
class LoadedRecordings:
    """The recordings of a folder that can be answers.

    ``labelled`` are those of an app, ``others`` may answer any: they were recorded without a label,
    or need no key. ``whole`` are all that the folder has. Of half an answer nobody can be told the
    rest, so none is among the others.
    """

    labelled: Sequence[Recording]
    others: Sequence[Recording]
    whole: Sequence[Recording]


def load_recordings(folder: Path, without_key: frozenset[str]) -> LoadedRecordings:
    """The recordings in ``folder``; the paths in ``without_key`` are the same for every app.

    Raises ``dify_wire.text_file.RecordingError`` for anything in it that cannot be used.
    """
    whole = read_folder(folder)
    usable = [
        recording for recording in whole if not (is_judged_live(recording) or recording.shortened)
    ]
    free = [
        replace(one, app=None)
        for one in usable
        if one.app is None or one.request.path in without_key
    ]
    labelled = [one for one in usable if not (one.app is None or one.request.path in without_key)]
    return LoadedRecordings(labelled, free, whole)


def is_judged_live(recording: Recording) -> bool:
    """Whether what was asked is refused before anything is looked up: a key, or a proxy's own
    limits.

    Such a request may be the same as a good one but for its headers, and must not answer that.
    """
    is_page = recording.header("content-type", "").lower() == "text/html"
    return recording.status == 401 or (is_page and recording.status in _REFUSALS_OF_PROXIES)


def shortened_bodies(recordings: Iterable[Recording]) -> Callable[[bytes], bytes]:
    """What makes of a request's body the beginning that was kept of it, where that is all that was
    recorded.
    """
    kept = [
        (one.request.shortened, one.request.body) for one in recordings if one.request.shortened
    ]

    def as_kept(body: bytes) -> bytes:
        for shortened, beginning in kept:
            if (
                len(body) == shortened.size
                and body.startswith(beginning)
                and _has_digest(body, shortened.sha256)
            ):
                return beginning
        return body

    return as_kept


def _has_digest(body: bytes, digest: str | None) -> bool:
    return digest is None or hashlib.sha256(body).hexdigest() == digest


def app_labels(settings: Settings) -> dict[str, str]:
    """What recordings call the app of each key: ``main``, a KIND, or the stem of an app file."""
    labels = dict.fromkeys(settings.api_keys, MAIN)
    for key, what in settings.apps:
        labels[key] = (
            MAIN if what == AppKind.WORKFLOW else what if what in set(AppKind) else Path(what).stem
        )
    return labels
