"""Saves the files of a run, and shows images in terminals that can."""

from __future__ import annotations

import base64
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dify_wire.command import CommandError
from dify_wire.text_file import readable, reason

_UNSAFE = re.compile(r"[^\w.-]+")
_KITTY_PART = 4096
_COLUMNS = 40
_LONGEST_NAME = 60  # file systems take 255 bytes, four for a character at most
_PNG = b"\x89PNG"
_KITTY = frozenset({"ghostty", "kitty"})
_ITERM = frozenset({"iTerm.app", "WezTerm"})


def output_files(outputs: Any) -> Iterator[Mapping[str, Any]]:
    """The files among the outputs of a run, at any depth."""
    if isinstance(outputs, Mapping):
        if "url" in outputs and "extension" in outputs:
            yield outputs
        else:
            for value in outputs.values():
                yield from output_files(value)
    elif isinstance(outputs, list):
        for value in outputs:
            yield from output_files(value)


def paths_for(files: list[Mapping[str, Any]], output: Path | None, force: bool) -> list[Path]:
    """Where each file goes: ``output``, then numbered beside it; without one, under the file's own
    name in this folder. A number that is taken is left out, unless ``force`` may overwrite what is
    beside ``output``.
    """
    keep = output is None or not force
    paths: list[Path] = []
    for file in files:
        wanted = output or Path(_name(file))
        path, number = wanted, 1
        while path in paths or (path != output and keep and os.path.lexists(path)):
            number += 1
            path = wanted.with_stem(f"{wanted.stem}-{number}")
        paths.append(path)
    return paths


def _name(file: Mapping[str, Any]) -> str:
    """The file's own name, without anything that could lead out of a folder."""
    extension = _UNSAFE.sub("", str(file["extension"] or ""))[:_LONGEST_NAME]
    name = Path(str(file.get("filename") or "image").removesuffix(extension)).name
    return (_UNSAFE.sub("-", name)[:_LONGEST_NAME].strip(".-") or "image") + extension


def check_image(content: bytes) -> None:
    """Raises ``CommandError`` for what no program could show."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(io.BytesIO(content)).verify()
    except Image.DecompressionBombError:
        pass  # larger than Pillow would decode, which nobody asks for here
    except UnidentifiedImageError:
        begin = readable(content[:40].decode("utf-8", "backslashreplace"))
        raise CommandError(f"the host serves no image: the file begins {begin!r}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise CommandError(f"the host serves an image that cannot be read: {error}") from None


def write(path: Path, content: bytes) -> None:
    """Raises ``CommandError`` where the file cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {reason(error)}") from None


def inline_image(content: bytes, environ: Mapping[str, str]) -> str:
    """What makes the terminal of ``environ`` show an image where the cursor is; empty for a
    terminal that is not known to show images, and for an image that cannot be decoded.

    Kitty and Ghostty take kitty's graphics protocol, iTerm2 and WezTerm that of iTerm2.
    """
    from PIL import Image

    program = environ.get("TERM_PROGRAM", "")
    if environ.get("TERM", "").startswith(("screen", "tmux")):
        return ""
    if program in _KITTY or environ.get("TERM") == "xterm-kitty":
        try:
            encoded = base64.b64encode(_as_png(content)).decode()
        except (OSError, ValueError, Image.DecompressionBombError):
            return ""
        parts = [encoded[at : at + _KITTY_PART] for at in range(0, len(encoded), _KITTY_PART)]
        first = f"f=100,a=T,c={_COLUMNS},"
        return (
            "".join(
                f"\x1b_G{first if at == 0 else ''}m={int(at < len(parts) - 1)};{part}\x1b\\"
                for at, part in enumerate(parts)
            )
            + "\n"
        )
    if program in _ITERM or environ.get("LC_TERMINAL") == "iTerm2":
        encoded = base64.b64encode(content).decode()
        return f"\x1b]1337;File=inline=1;width={_COLUMNS};size={len(content)}:{encoded}\a\n"
    return ""


def _as_png(content: bytes) -> bytes:
    """The image as PNG, the one format that kitty takes."""
    from PIL import Image

    if content.startswith(_PNG):
        return content
    png = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.save(png, "PNG")
    return png.getvalue()
