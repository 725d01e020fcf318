"""What a user gets who installs the project: everything that the fake reads, and nothing of the
tests.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.server

NEEDED = [
    "contract/report/diff.html",
    "contract/report/page.html",
    "contract/report/upgrade.html",
    "contract/verified.toml",
    "fake_server/admin/admin.yaml",
    "fake_server/data/features.yml",
    "fake_server/data/scenarios.schema.json",
    "fake_server/data/workflow.yml",
    "fake_server/images/fonts/LICENSE.txt",
    "fake_server/py.typed",
    "dify_wire/data/openapi.yaml",
    "dify_wire/data/recordings/dify-1.14.2/keys.json",
    *(f"dify_wire/data/overlays/{path.name}" for path in (ROOT / "overlays").glob("*.yaml")),
    "dify_wire/py.typed",
    "dify_wire/recording/recording.schema.json",
]
FONT_LIMIT_BYTES = 4 << 20


def test_wheel_holds_all_that_the_fake_reads(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in NEEDED if name not in names] == []
    assert not [name for name in names if name.startswith(("tests/", "recordings/", "docs/"))]


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
    ended = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "0.6.4\n"
