"""How the host writes the ids of runs, tasks and files."""

from __future__ import annotations

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A pattern of a UUID as the host writes it; who reads what others wrote ignores the case."""
