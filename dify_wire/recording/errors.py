"""What is wrong with a folder of recordings: which file, where in it, and what to do."""

from __future__ import annotations

from dify_wire.spec_error import SpecError


class RecordingError(SpecError):
    """A recording that cannot be read, written or understood; never is a part of it used."""
