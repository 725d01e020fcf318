"""What a user gets who installs the project: everything that the fake reads, and nothing of the
tests. ``make dist`` installs it.
"""

from __future__ import annotations

import configparser
import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dify_wire import text_file
from dify_wire.text_file import RecordingError
from fake_server.console import STATIC
from hatch_build import pack
from tests.serving import ROOT
from tests.swagger_ui import FILES

pytestmark = pytest.mark.server

NEEDED = [
    "contract/report/diff.html",
    "contract/report/page.html",
    "contract/report/upgrade.html",
    "contract/verified.toml",
    "contract/py.typed",
    "fake_dify/py.typed",
    "fake_server/admin/admin.yaml",
    "fake_server/console/static/index.html",
    "fake_server/console/static/reference/index.html",
    *(f"fake_server/console/static/reference/swagger-ui/{name}" for name in FILES),
    *(f"fake_server/console/static/{path.name}" for path in STATIC.iterdir() if path.is_file()),
    "fake_server/data/features.yml",
    "fake_server/data/scenarios.schema.json",
    "fake_server/data/workflow.yml",
    "fake_server/images/fonts/LICENSE.txt",
    "fake_server/py.typed",
    "dify_wire/data/openapi.yaml",
    *(
        f"dify_wire/data/recordings/{path.name}.tar.xz"
        for path in (ROOT / "recordings").iterdir()
        if path.is_dir()
    ),
    *(f"dify_wire/data/overlays/{path.name}" for path in (ROOT / "overlays").glob("*.yaml")),
    "dify_wire/py.typed",
    "dify_wire/recording/recording.schema.json",
]
FONT_LIMIT_BYTES = 4 << 20
WHEEL_LIMIT_BYTES = 4_500_000


def test_wheel_holds_all_that_the_fake_reads(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in NEEDED if name not in names] == []
    assert not [name for name in names if name.startswith(("tests/", "recordings/", "docs/"))]


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= WHEEL_LIMIT_BYTES


def test_wheel_says_what_it_is(wheel: Path) -> None:
    """The licences of all that it holds, its addresses, and the commands that it installs."""
    with zipfile.ZipFile(wheel) as packed:
        info = next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        folder = info.rpartition("/")[0]
        metadata = email.message_from_bytes(packed.read(info))
        commands = configparser.ConfigParser()
        commands.read_string(packed.read(f"{folder}/entry_points.txt").decode())
        for name in metadata.get_all("License-File", []):
            assert packed.read(f"{folder}/licenses/{name}")
    assert metadata["License-Expression"] == "MIT AND Apache-2.0 AND BSD-3-Clause"
    assert len(metadata.get_all("License-File", [])) == 6
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])} == {
        *("Homepage", "Documentation", "Changelog", "Issues")
    }
    assert dict(commands["console_scripts"]) == {
        "contract": "fake_dify.commands:contract",
        "fake-dify": "fake_dify.commands:fake_server",
        "fake-server": "fake_dify.commands:fake_server",
    }


def test_same_recordings_are_packed_to_the_same_bytes(tmp_path: Path) -> None:
    """Whenever they were written, and without what is made beside them."""
    made = []
    for day, step in ((1, 1), (2, -1)):
        folder = tmp_path / str(day) / "dify-9.9"
        (folder / "bodies").mkdir(parents=True)
        (folder / ".fake-dify").mkdir()
        (folder / ".fake-dify/recordings.json").write_text(str(day))
        for name in ("0001-b.yaml", "0002-a.yaml", "bodies/x.bin")[::step]:
            (folder / name).write_text(name)
            os.utime(folder / name, (day, day))
        made.append(tmp_path / f"{day}.tar.xz")
        pack(folder, made[-1])
    assert made[0].read_bytes() == made[1].read_bytes()
    with tarfile.open(made[0]) as packed:
        assert packed.getnames() == [
            *("dify-9.9/0001-b.yaml", "dify-9.9/0002-a.yaml", "dify-9.9/bodies/x.bin")
        ]


def test_packed_recordings_are_unpacked_when_they_are_read(wheel: Path, tmp_path: Path) -> None:
    """They are those of the checkout, and nothing of them stays behind."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "tmp").mkdir()
    program = (
        "from dify_wire.text_file import bundled\n"
        "from dify_wire.recording.folder import read_folder\n"
        "print(len(read_folder(bundled('recordings/dify-0.6.4'))))\n"
        "print(bundled('recordings/apps/main.yml').read_text(encoding='utf-8'))"
    )
    ended = _from(tmp_path / "site", program, TMPDIR=str(tmp_path / "tmp"))
    count, _, app = ended.stdout.partition("\n")
    assert int(count) == len(list((ROOT / "recordings/dify-0.6.4").glob("*.yaml")))
    assert app.rstrip() == (ROOT / "recordings/apps/main.yml").read_text("utf-8").rstrip()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("archive", [b"", b"not an archive", b"\xfd7zXZ\x00"])
def test_a_damaged_archive_is_one_line(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "dify_wire/data/recordings/dify-9.9.tar.xz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(archive)
    monkeypatch.setattr(text_file, "_HERE", tmp_path / "dify_wire")
    with pytest.raises(RecordingError, match="cannot be unpacked"):
        text_file.bundled("recordings/dify-9.9")


def test_an_upgrade_without_room_to_unpack_says_so(wheel: Path, tmp_path: Path) -> None:
    """As in a container with a read-only root."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']\n"
        "from contract.cli import exit_code; print(exit_code(['upgrade', '0.6.4', '0.6.9']))"
    )
    ended = _from(tmp_path, program)
    assert ended.stdout == "2\n"
    assert "it cannot be unpacked" in ended.stderr
    assert "set TMPDIR" in ended.stderr


def test_font_is_small_enough_for_a_wheel(wheel: Path) -> None:
    fonts = [
        entry for entry in zipfile.ZipFile(wheel).infolist() if entry.filename.endswith(".ttf")
    ]
    assert len(fonts) == 1
    assert fonts[0].file_size <= FONT_LIMIT_BYTES


def test_fake_answers_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    """Unpacked into an empty folder, away from the checkout, it finds its spec, overlays and
    workflow.
    """
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "from fake_server import create_app; print(create_app().host.spec.version)"
    assert _from(tmp_path, program).stdout == "0.6.4\n"


def _from(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``program`` where the project's packages are those of ``folder``."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
