"""Stores that cannot be used: each says what is wrong and what to do; no file is overwritten."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from fake_server import Settings, SettingsError, create_app


def problem(**settings: object) -> str:
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(**settings))  # type: ignore[arg-type]
    return str(caught.value)


def test_workers_do_not_share_memory() -> None:
    assert "--store sqlite:///fake.db" in problem(workers=2)


@pytest.mark.parametrize("url", ["sqlite:fake.db", "postgres://x", "sqlite:///", ""])
def test_a_store_has_a_known_address(url: str) -> None:
    assert "sqlite:///FILE" in problem(store=url)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"this is not a database. " * 100)
    before = file.read_bytes()
    assert "damaged, or no SQLite file" in problem(store=f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as db:
        db.execute("create table notes (text)")
    db.close()
    before = file.read_bytes()
    assert "another program" in problem(store=f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_damaged_database_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "fake.db"
    create_app(Settings(store=f"sqlite:///{file}"))
    data = bytearray(file.read_bytes())
    data[4096 : 4096 + 2000] = b"\xff" * 2000
    file.write_bytes(data)
    assert "delete this one" in problem(store=f"sqlite:///{file}")


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    assert "cannot write" in problem(store=f"sqlite:///{tmp_path}/absent/fake.db")


def test_a_redis_that_does_not_run_prevents_a_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "Redis does not respond" in problem(store=f"redis://127.0.0.1:{port}/0")
