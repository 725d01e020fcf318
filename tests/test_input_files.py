"""Which files a request may name on the versions that take files of any kind, and what becomes of
them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from dify_wire.profile import HOST_VERSIONS
from fake_server.host_spec import HostError, HostErrors
from fake_server.images import ImageRecord
from fake_server.runs.file_sources import FileSources, Owner
from fake_server.runs.input_files import FileFinder
from fake_server.runs.values import FileRef, InputFile
from fake_server.spec import load_host
from fake_server.store import StoredImage, Upload
from fake_server.workflow.model import RemoteFile, StartVariable
from tests.each import each

ALL = [version for version in HOST_VERSIONS[::-1] if not version.startswith("0.6")]
STRICT = [version for version in ALL if version != "0.15.3"]
FROM_1_10 = ALL[ALL.index("1.10.1") :]
FROM_1_13 = ALL[ALL.index("1.13.3") :]
BEFORE_1_10 = [version for version in ALL if version not in FROM_1_10]
SHARED = [version for version in ALL if version != "1.14.2"]

OWNER = Owner("app", "me")
IMAGE, PDF, VIDEO, THEIRS, OTHER_APP, TOOL = (
    f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "123456"
)
RECORD = ImageRecord("a cat", "model", 1)
SOURCES = FileSources(
    uploads={
        upload.file_id: upload
        for upload in (
            Upload(IMAGE, "app", "me", "pic.png", "png", "image/png", 70, "/signed"),
            Upload(PDF, "app", "me", "a.pdf", "pdf", "application/pdf", 15),
            Upload(VIDEO, "app", "me", "a.mp4", "mp4", "video/mp4", 100),
            Upload(THEIRS, "app", "them", "o.png", "png", "image/png", 70),
            Upload(OTHER_APP, "another", "me", "o.png", "png", "image/png", 70),
        )
    },
    images={TOOL: StoredImage(RECORD)},
    remote={
        "https://a.example/pdf": RemoteFile(mime_type="application/pdf", size=15),
        "https://a.example/404": RemoteFile(absent=True),
        "https://a.example/gone.png": RemoteFile(unreachable=True),
        "https://a.example/named": RemoteFile(filename="cat.gif", size=1),
    },
)
VARIABLE = StartVariable(
    name="f",
    type="file",
    required=False,
    max_length=None,
    options=None,
    default=None,
    entry={},
    file_types=("image", "document"),
    upload_methods=("local_file", "remote_url"),
)
FEATURES = {
    "file_upload": {
        "enabled": True,
        "number_limits": 2,
        "allowed_file_types": ["image"],
        "allowed_file_upload_methods": ["local_file", "remote_url"],
    }
}
MISMATCH = "Detected file type does not match the specified type. Please verify the file."


@cache
def finder(version: str) -> FileFinder:
    return FileFinder(SOURCES, OWNER, load_host(version))


def local(file_id: Any = IMAGE, **more: Any) -> dict[str, Any]:
    return {"type": "image", "transfer_method": "local_file", "upload_file_id": file_id, **more}


def remote(url: Any = "https://a.example/b.png", **more: Any) -> dict[str, Any]:
    return {"type": "image", "transfer_method": "remote_url", "url": url, **more}


def reference(file_id: str) -> str:
    record = json.dumps({"record_id": file_id}).encode()
    return f"dify-file-ref:{base64.b64encode(record).decode()}"


def outcome(version: str, mapping: Mapping[str, Any]) -> str:
    """The type and name of the file of a start variable, or the text of the error."""
    try:
        file = finder(version).file(VARIABLE, mapping)
    except HostError as error:
        return str(error.body["message"])
    assert isinstance(file, InputFile)
    return f"{file.type} {file.filename}"


CASES: list[tuple[Sequence[str], Mapping[str, Any], str]] = [
    (ALL, local(), "image pic.png"),
    (ALL, local(PDF, type="document"), "document a.pdf"),
    (ALL, local(IMAGE.upper()), "image pic.png"),
    (ALL, local("not-a-uuid"), "Invalid upload file id format"),
    (ALL, local(""), "Invalid upload file id"),
    (ALL, {"type": "image", "transfer_method": "local_file"}, "Invalid upload file id"),
    (ALL, local("99999999-9999-4999-8999-999999999999"), "Invalid upload file"),
    (SHARED, local(THEIRS), "image o.png"),
    (SHARED, local(OTHER_APP), "image o.png"),
    (["1.14.2"], local(THEIRS), "Invalid upload file"),
    (["1.14.2"], local(OTHER_APP), "Invalid upload file"),
    *[(STRICT, local(type=kind), MISMATCH) for kind in ("document", "custom", "nosuch", 5)],
    (STRICT, local(PDF), MISMATCH),
    (["0.15.3"], local(type="document"), "document pic.png"),
    (["0.15.3"], local(type="nosuch"), "'nosuch' is not a valid FileType"),
    (ALL, local(VIDEO, type="video"), "File validation failed for file: a.mp4"),
    (BEFORE_1_10, {}, "No matching enum found for value 'None'"),
    (FROM_1_10, {}, "transfer_method is required in file mapping"),
    (SHARED, remote(transfer_method="pigeon"), "No matching enum found for value 'pigeon'"),
    (["1.14.2"], remote(transfer_method="x"), "'x' is not a valid FileTransferMethod"),
    (ALL, {"type": "image", "transfer_method": "tool_file"}, "ToolFile None not found"),
    (ALL, remote(), "image b.png"),
    (ALL, remote("https://a.example/%E7%8C%AB.jpg?x=.pdf#y"), "image 猫.jpg"),
    (ALL, remote(url=None, remote_url="https://a.example/b.png"), "image b.png"),
    (ALL, remote(""), "Invalid file url"),
    (ALL, remote(None), "Invalid file url"),
    (STRICT, remote("https://a.example/404"), MISMATCH),
    (ALL, remote("https://a.example/pdf", type="document"), "document pdf"),
    (ALL, remote("https://a.example/named"), "image cat.gif"),
    *[
        (ALL, remote(url), f"Reached maximum retries (3) for URL {url}")
        for url in ("ftp://x", "not a url", "http://127.0.0.1:1/x.png", "https://a.invalid/x.png")
    ],
    (ALL, remote("https://a.example/gone.png"), "Reached maximum retries (3) for URL "),
    (["1.14.2"], local(reference(IMAGE)), "image pic.png"),
    (["1.14.2"], local(5, reference=reference(IMAGE)), "image pic.png"),
    (["1.14.2"], local(5), "Invalid upload file id"),
    (STRICT, remote(None, upload_file_id=IMAGE), "image pic.png"),
]


@each(
    ("version", "mapping", "expected"),
    [(version, *case) for versions, *case in CASES for version in versions],
)
def test_the_file_of_a_variable(version: str, mapping: Mapping[str, Any], expected: str) -> None:
    """FACTS-1.14.2 3.3 [C: types_f_*]."""
    assert outcome(version, mapping).startswith(expected)


@pytest.mark.parametrize("version", ALL)
def test_what_an_upload_becomes(version: str) -> None:
    """The URL signed at the upload stays with it in some versions [C: types_all_block]."""
    kept = "/signed" if version in ("1.4.3", "1.10.1", "1.13.3") else ""
    assert finder(version).file(VARIABLE, local()) == InputFile(
        "local_file",
        file_id=IMAGE,
        filename="pic.png",
        extension=".png",
        mime_type="image/png",
        type="image",
        size=70,
        source_url=kept,
    )


@pytest.mark.parametrize("version", ALL)
def test_an_image_of_a_run_can_be_named_by_its_id(version: str) -> None:
    mapping = {"type": "image", "transfer_method": "tool_file", "tool_file_id": TOOL}
    assert finder(version).body_files([mapping], {}) == [FileRef(TOOL, RECORD)]


@each(
    ("version", "files", "expected"),
    [
        *[(version, [local(), remote()], 2) for version in ALL],
        *[(version, [], 0) for version in ALL],
        *[(version, [{}, None], 0) for version in ("1.10.1",)],
        *[(version, [{}, {"type": "video"}], 0) for version in FROM_1_10],
        *[(version, [{}], "No matching enum found") for version in BEFORE_1_10],
        *[(version, [remote(None)], 0) for version in FROM_1_13],
        *[(version, [remote(None)], "Invalid file url") for version in ALL[: ALL.index("1.13.3")]],
        *[(version, ["x"], "The server encountered") for version in ALL],
        *[
            (version, [local()] * 3, "Number of image files exceeds the maximum limit 2")
            for version in ALL
        ],
        *[
            (version, [local(PDF, type="document")], "File validation failed for file: a.pdf")
            for version in ALL
        ],
        *[(version, [local(type="document")], MISMATCH) for version in STRICT],
    ],
)
def test_the_files_of_a_body(version: str, files: list[Any], expected: int | str) -> None:
    """What an app with file upload makes of them [C: filesin_bad_*, files_enabled_*]."""
    try:
        found: int | str = len(finder(version).body_files(files, FEATURES))
    except HostError as error:
        found = str(error.body["message"])
    assert found == expected or str(found).startswith(f"{expected} ") or str(expected) in str(found)


@pytest.mark.parametrize("version", ALL)
def test_files_are_looked_up_where_upload_is_off(version: str) -> None:
    """There are no limits then [C: files_disabled_remote, files_disabled_dict]."""
    off = {"file_upload": {"enabled": False, "image": {"enabled": False}}}
    assert len(finder(version).body_files([local(PDF, type="document")] * 9, off)) == 9
    with pytest.raises(HostError):
        finder(version).body_files([local("x")], off)


@pytest.mark.parametrize("version", ALL)
def test_a_list_of_files_takes_any_type(version: str) -> None:
    """But the declared ones alone, and the type is what the user says [C: types_fl_10]."""
    files = finder(version).files
    assert [file.type for file in files(VARIABLE, [local(type="document")])] == ["document"]
    with pytest.raises(HostError, match=r"file_kind_unknown|file_refused"):
        files(VARIABLE, [local(type="nosuch")])
    with pytest.raises(HostError, match="file_refused"):
        files(VARIABLE, [local(VIDEO, type="video")])


@pytest.mark.parametrize("version", STRICT)
def test_upload_methods(version: str) -> None:
    """They hold for all but images, whose own limits a variable does not have."""
    only_remote = StartVariable(
        "f", "file", False, None, None, None, {}, upload_methods=("remote_url",)
    )
    assert finder(version).file(only_remote, local())
    with pytest.raises(HostError, match="file_refused"):
        finder(version).file(only_remote, local(PDF, type="document"))


@pytest.mark.parametrize("version", ALL)
def test_a_scenario_makes_an_address_fail(version: str) -> None:
    """One that cannot be reached is an error; a page that is not there is none [C: types_f_19]."""

    def sources(name: str) -> FileSources:
        def fault(address: str, errors: HostErrors) -> HostError:
            return errors(name, reason="refused", address=address)

        return FileSources(faults=(fault,))

    spec = load_host(version)
    with pytest.raises(HostError, match="file_remote_unchecked"):
        FileFinder(sources("file_remote_unchecked"), OWNER, spec).file(VARIABLE, remote())
    absent = FileFinder(sources("file_remote_absent"), OWNER, spec)
    assert absent.file(VARIABLE, remote()).type == "image"
