"""Responses from recordings, in their rhythm, signed and timed anew."""

from __future__ import annotations

from fake_server.replay.replay import Replay, load_replay

__all__ = ["Replay", "load_replay"]
