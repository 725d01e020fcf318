"""Runs the code blocks of one page as a reader would, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.docs.blocks import Block
from tests.npm import link_packages
from tests.serving import command_process
from tests.tools import QUICK, needed

_LONGEST_S = 120
_PROGRAMS = {
    "sh": ("sh", "block.sh", ["-eu"]),
    "bash": ("bash", "block.sh", ["-eu"]),
    "python": (sys.executable, "block.py", []),
    "js": ("node", "block.mjs", []),
    "go": ("go", "block.go", ["run"]),
    "java": ("java", "Block.java", []),
}
_NUMBER = re.compile(r"\d[\d.,]*(?<=\d)")
_SETUP = re.compile(r"\.venv/bin/|^make install\n", re.MULTILINE)  # done before
_PORTS = {"serve": "6060", "record": "6061"}


class PageError(AssertionError):
    """A block does not do what the page says."""


class PageRun:
    """One reader's way through a page. As a context it ends the servers that are left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._urls: dict[str, str] = {}
        self._servers = ExitStack()
        self._printed = ""

    def __enter__(self) -> PageRun:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _stop(self) -> None:
        self._servers.close()
        self._urls.clear()

    def do(self, block: Block) -> None:
        """What the comment of the block asks for. Raises ``PageError``."""
        match block.kind:
            case "serve":
                self._serve(block)
            case "stop":
                self._stop()
            case "run":
                self._run(block)
            case "output":
                self._compare(block.text, numbers_vary=block.argument == "numbers vary")
            case "file":
                self._write(block.argument, block.text)
            case "pytest":
                self._test(block)
            case "check":
                self._check(block)
            case "npm":
                link_packages(_npm_packages(block.text), self._folder)
            case "not run":
                pass
            case _:
                raise PageError("no comment says how this block is tested: see tests/docs")

    def _serve(self, block: Block) -> None:
        command, arguments = _server_command(block.text)
        port = _PORTS[command]
        if port in self._urls:
            self._stop()
        arguments = [self._with_our_urls(argument) for argument in arguments]
        ready = self._servers.enter_context(command_process(command, *arguments, cwd=self._folder))
        self._urls[port] = ready["url"]
        if "--ready-file" in arguments:  # the reader's own; the server wrote to ours
            own = self._folder / arguments[arguments.index("--ready-file") + 1]
            own.write_text(json.dumps(ready), "utf-8")

    def _run(self, block: Block) -> None:
        expected = int(block.argument.removeprefix("exit ")) if block.argument else 0
        if block.language == "console":
            self._run_console(block.text)
            return
        if block.language not in _PROGRAMS:
            raise PageError(f"a block of {block.language or 'no language'} cannot be run")
        program, name, options = _PROGRAMS[block.language]
        path = self._folder / name
        path.write_text(self._with_our_urls(block.text), "utf-8")
        self._execute([needed(program), *options, name], expected)

    def _run_console(self, text: str) -> None:
        """Lines that begin with ``$`` are commands; what follows each is its output."""
        for command, output in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            self._execute(["sh", "-euc", self._with_our_urls(command)], None)
            self._compare(output)

    def _execute(self, command: list[str], expected: int | None) -> None:
        ended = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LONGEST_S,
            check=False,
        )
        self._printed = ended.stdout.decode("utf-8", "backslashreplace")
        if expected is not None and ended.returncode != expected:
            raise PageError(f"exit code {ended.returncode}, not {expected}:\n{_end(self._printed)}")

    def _compare(self, text: str, *, numbers_vary: bool = False) -> None:
        printed = self._printed
        for port, url in self._urls.items():
            printed = printed.replace(url, f"http://127.0.0.1:{port}")
        if numbers_vary:
            text, printed = _NUMBER.sub("0", text), _NUMBER.sub("0", printed)
        if not matches(text, printed):
            raise PageError(f"the page shows:\n{text}\nbut what is printed is:\n{_end(printed)}")

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise PageError(f"{name} is outside of the page's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._with_our_urls(text), "utf-8")

    def _test(self, block: Block) -> None:
        named = re.match(r"# ((?:[\w-]+/)*\w+\.py)\n", block.text)
        name = named[1] if named else f"test_line_{block.line}.py"
        self._write(name, block.text)
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *QUICK, name]
        self._execute(command, 1 if block.argument == "fails" else 0)

    def _check(self, block: Block) -> None:
        language, _, schema = block.argument.partition(" ")
        match language:
            case "yaml":
                yaml.safe_load(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "json":
                json.loads(block.text)
            case _:
                raise PageError(f"{language} cannot be checked")
        if schema:
            path = self._folder / f"checked.{language}"
            path.write_text(block.text, "utf-8")
            command = [sys.executable, "-m", "check_jsonschema", path.name]
            self._execute([*command, "--builtin-schema", f"vendor.{schema}"], 0)

    def _with_our_urls(self, text: str) -> str:
        for port, url in self._urls.items():
            address = url.removeprefix("http://")
            text = re.sub(rf"(?:127\.0\.0\.1|localhost):{port}\b", address, text)
        return _SETUP.sub("", text)

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FAKE_SERVER_", "CONTRACT_", "PYTEST_"))
        }
        if "6060" in self._urls:  # where commands look for a host by default
            kept["CONTRACT_BASE_URL"] = self._urls["6060"]
        scripts = str(Path(sys.executable).parent)
        return {**kept, "PATH": os.pathsep.join([scripts, kept["PATH"]]), "COLUMNS": "100"}


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; ``…`` stands for anything, also for lines."""
    parts = [re.escape(part) for part in _stripped(shown).split("…")]
    return re.fullmatch(".*?".join(parts), _stripped(printed), re.DOTALL) is not None


def _end(text: str, most: int = 3000) -> str:
    """The last of a long output, where it says how it ended."""
    return text if len(text) <= most else "…" + text[-most:]


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _server_command(text: str) -> tuple[str, list[str]]:
    """The command of ``fake-server`` that a block starts, with its arguments."""
    words = shlex.split(text, comments=True)
    if words[:2] == ["make", "run"]:
        arguments = shlex.split(dict(word.split("=", 1) for word in words[2:]).get("ARGS", ""))
        return "serve", arguments
    if words and words[0].rpartition("/")[2] in ("fake-server", "fake-dify"):
        words = words[1:]
    elif words[1:3] == ["-m", "fake_server"]:
        words = words[3:]
    if not words or words[0] not in _PORTS:
        raise PageError("this is not a command that serves")
    return words[0], list(_without_own(words[1:]))


def _npm_packages(text: str) -> list[str]:
    words = shlex.split(text, comments=True)
    if words[:2] != ["npm", "install"]:
        raise PageError("this is not an npm install")
    return [word for word in words[2:] if not word.startswith("-")]


def _without_own(arguments: list[str]) -> Iterator[str]:
    """Without the port, which is a free one here, and a trailing ``&``."""
    left = iter(arguments)
    for argument in left:
        if argument == "--port":
            next(left)
        elif argument != "&":
            yield argument
