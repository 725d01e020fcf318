"""``python -m tests.fuzz files``: mutated files of users, given to the commands that read them.

A file has to end in use, or in exit code 2 with a line for each reason; never in a
traceback, in more than 2 s of CPU, or in more than 300 MB. Commands run in worker processes, one a
core, each with an address space of 2 GB; what a server would serve is built and dropped. A sample
goes through the real command besides. What finds something is kept in a folder, and printed with
the command that shows it again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import logging
import multiprocessing
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any
from unittest import mock

from fake_server.settings import Settings
from tests.asgi import call, json_headers, run_body
from tests.fuzz.file_mutations import mutated
from tests.serving import ROOT

COUNT = 1_000
SEED = 20240424
MOST_CPU_S = 2.0
MOST_MB = 300
_ADDRESS_SPACE = 2 << 30
_HANGS_S = 60.0
_REAL_EVERY = 250
_HISTORY = "contract.diff.drift"
"""``contract drift`` reads earlier snapshots after requests to a host, so its reader is called."""

_NET = "does not have the form of"


@dataclass(frozen=True, slots=True)
class Seed:
    """A file to mutate: its name, its text, how its tree is read (None: it has none), and the
    command that reads it.
    """

    kind: str
    name: str
    text: str
    load: Callable[[str], Any] | None
    command: Callable[[Path], Sequence[str]]
    end: str = ""
    """What stands at the end of every file of this kind."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit code, what it wrote to stderr, and what it cost."""

    code: int
    stderr: str
    crash: str | None = None
    cpu_s: float = 0.0
    grown_mb: float = 0.0


def problems(outcome: Outcome) -> Iterator[str]:
    """What must not be: everything but use and a refusal in a line for each reason, within the
    bounds.
    """
    if outcome.crash is not None:
        yield f"crash: {outcome.crash}"
    elif "Traceback" in outcome.stderr:
        yield f"traceback: {outcome.stderr.strip().splitlines()[-1]}"
    elif outcome.code not in (0, 2):
        yield f"exit code {outcome.code}: {outcome.stderr[-300:]}"
    elif outcome.code == 2 and not _is_readable(outcome.stderr):
        yield f"exit code 2 without readable lines: {outcome.stderr[-500:]!r}"
    if outcome.cpu_s > MOST_CPU_S:
        yield f"time: more than {MOST_CPU_S:g} s of CPU"
    if outcome.grown_mb > MOST_MB:
        yield f"memory: more than {MOST_MB} MB"


def _is_readable(stderr: str) -> bool:
    """Lines say what to do, each once; click puts its usage before them, and ``har import`` names
    what it leaves out.
    """
    lines = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    return 0 < len(lines) == len(set(lines)) and all(
        len(line) < 1_000 and "please report" not in line for line in lines
    )


# Files
# ---------------------------------------------------------------------------------------------


@cache
def seeds() -> dict[str, list[Seed]]:
    """The real files by kind."""
    from dify_wire.recording.folder import read_folder
    from dify_wire.recording.har_file import to_har

    recorded = ROOT / "recordings" / "dify-0.6.4"
    few = [path for path in sorted(recorded.glob("*.yaml")) if path.stat().st_size < 20_000][::25]
    har = json.dumps(to_har(read_folder(recorded)[:6]))
    served = partial(_serve, "--spec"), partial(_serve, "--overlay")
    return {
        "spec": [_yaml("spec", ROOT / "openapi.yaml", served[0])],
        "overlay": [
            _yaml("overlay", ROOT / "overlays" / "dify-0.6.3.yaml", served[1]),
            *[Seed("overlay", "small.yaml", _OVERLAY, json.loads, served[1])] * 3,
        ],
        "app": [
            _yaml("app", path, _serve_app)
            for path in sorted((ROOT / "recordings" / "apps").glob("*.yml"))
        ]
        + [
            _yaml("app", path, partial(_serve_export, version))
            for version in ("1.14.2", "1.4.3")
            for path in sorted((ROOT / "recordings" / "apps" / f"dify-{version}").glob("*.yml"))
            if not path.name.endswith(".fake.yml")
        ]
        + [
            _yaml(
                "app", ROOT / "fake_server" / "data" / "workflow.yml", partial(_serve, "--workflow")
            )
        ]
        * 4,
        "scenarios": [
            Seed("scenarios", "rules.yml", _SCENARIOS, _loaded, partial(_serve, "--scenarios"))
        ],
        "toml": [Seed("toml", "fake.toml", _TOML, None, partial(_serve, "--config"))],
        "recording": [_yaml("recording", path, _replay, "\n...\n") for path in few]
        + [_yaml("recording", path, _export, "\n...\n") for path in few],
        "har": [Seed("har", "archive.har", har, json.loads, _import)],
        "snapshot": [Seed("snapshot", "2024-04-24.json", _SNAPSHOT, json.loads, _read_history)],
    }


_SHARES = {
    "spec": 2, "overlay": 3, "app": 4, "scenarios": 4, "toml": 2, "recording": 3, "har": 2,
    "snapshot": 1,
}  # fmt: skip

_OVERLAY = """{
 "overlay": "1.0.0",
 "info": {"title": "t", "version": "1"},
 "actions": [
  {"target": "$['x-host'].limits", "update": {"run_steps": 40}},
  {"target": "$['x-host']", "update": {"ping": {"every_s": 5}, "headers": [["X-A", "b"]]}},
  {"target": "$.paths..[?@.operationId=='getMeta']", "update": {"x-errors": ["internal_error"]}},
  {"target": "$.components.schemas..properties",
   "update": {"a": {"type": "string", "enum": ["x"]}}},
  {"target": "$.paths['/v1/meta']", "remove": true}
 ]
}
"""
_SNAPSHOT = """{
 "format": 1,
 "differences": [
  {"kind": "status", "place": "status", "a": "200", "b": "500", "forms": 1, "requests": 3},
  {"kind": "field", "place": "body.data.x", "a": "absent", "b": "1", "forms": 2, "requests": 1}
 ]
}
"""
_SCENARIOS = """scenarios:
- name: slow
  with: {seconds: 3}
  when: {prompt: {contains: cat}, call: 2}
  times: 3
- name: node_failed
  when: {model: x, header: {x-a: {matches: "b+"}}, mode: streaming, probability: 0.5, seed: 4}
- name: http_error
  when: {operation: getInfo}
  times: 1
"""
_TOML = """host = "127.0.0.1"
port = 0
speed = 10.5
seed = 3
clock = 2024-04-24T10:00:00Z
api_key = ["app-a", "app-b"]
files_url = "http://localhost"
log_format = "json"
secret_key = "sk-some-secret-key-of-a-test-of-files"
[app]
app-c = "chat"
app-d = "deleted"
"""


def _yaml(kind: str, path: Path, command: Callable[[Path], Sequence[str]], end: str = "") -> Seed:
    return Seed(kind, path.name, path.read_text("utf-8"), _loaded, command, end)


@cache
def _loaded(text: str) -> Any:
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # it is a safe one


def _serve(flag: str, path: Path) -> Sequence[str]:
    return ("fake-server", "serve", "--port", "0", flag, str(path))


def _serve_app(path: Path) -> Sequence[str]:
    return _serve("--app", Path(f"app-fuzzed={path}"))


def _serve_export(version: str, path: Path) -> Sequence[str]:
    return (*_serve("--app", Path(f"app-fuzzed={path}")), "--host-version", version)


def _replay(path: Path) -> Sequence[str]:
    return ("fake-server", "serve", "--port", "0", "--replay", str(path.parent))


def _export(path: Path) -> Sequence[str]:
    return ("contract", "har", "export", str(path.parent), os.devnull)


def _import(path: Path) -> Sequence[str]:
    return ("contract", "har", "import", str(path), str(path.parent / "imported"))


def _read_history(path: Path) -> Sequence[str]:
    return (_HISTORY, str(path.parent))


def write_case(seed: int, number: int, folder: Path) -> tuple[str, Sequence[str]]:
    """Write file ``number`` of a campaign into the empty ``folder``: its kind, and the command that
    reads it.
    """
    random = Random(f"{seed}|{number}")
    kind = random.choices([*_SHARES], [*_SHARES.values()])[0]
    chosen = random.choice(seeds()[kind])
    data = mutated(random, chosen.text, chosen.load is not None, chosen.load or json.loads)
    if chosen.end and random.random() < 0.9 and not data.endswith(chosen.end.encode()):
        data += chosen.end.encode()
    path = folder / chosen.name
    path.write_bytes(data)
    return kind, chosen.command(path)


# One file
# ---------------------------------------------------------------------------------------------


class _TooSlowError(BaseException):
    """The command takes longer than any file may; no ``Exception``, so that no command takes it for
    its own.
    """


def outcome_of(run: Callable[[], int]) -> Outcome:
    """Call ``run``, a command in this process, and measure it."""
    stderr, crash, code = io.StringIO(), None, -1
    before_mb, began_s = _reset_peak_mb(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, 2 * MOST_CPU_S)
    try:
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            code = run()
    except _TooSlowError:
        crash = "it does not end: " + _last_frame(sys.exc_info()[2])
    except BaseException as error:  # that is what is looked for
        crash = f"{type(error).__name__}: {str(error)[:200]} {_last_frame(error.__traceback__)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.enable()  # a server switches it off
    return Outcome(
        code, stderr.getvalue(), crash, time.process_time() - began_s, _peak_mb() - before_mb
    )


def _last_frame(found: Any) -> str:
    ours = [
        frame
        for frame in traceback.extract_tb(found)
        if str(ROOT) in frame.filename and "tests" not in frame.filename
    ]
    return f"({Path(ours[-1].filename).name}:{ours[-1].lineno} in {ours[-1].name})" if ours else ""


def run_command(command: Sequence[str]) -> int:
    """Run ``command`` in this process up to where a server would begin to serve; what is unforeseen
    is raised.
    """
    program, *arguments = command
    if program == "contract":
        from contract.cli import exit_code

        return exit_code([*arguments, "--debug"])
    from dify_wire.command import exit_code as ended

    if program == _HISTORY:
        from contract.diff.drift import read_history

        return ended(partial(read_history, Path(arguments[0])), program, ["--debug"])
    from fake_server.cli import cli
    from fake_server.server import run

    debug = [*arguments, "--debug"]
    with mock.patch.object(run, "serve_forever", _used):
        return ended(
            lambda: cli.main(debug, prog_name=program, standalone_mode=False), program, debug
        )


def _used(settings: Settings) -> None:
    """Build the server of ``settings`` and ask each of its apps a little; a crash under way is
    raised.
    """
    from fake_server.app import create_app

    app = create_app(replace(settings, speed=None))
    crashes = _Crashes()
    logging.getLogger("fake_server").addHandler(crashes)
    try:
        for key in (settings.api_keys[0], *(key for key, _ in settings.apps)):
            for path in ("/v1/parameters", "/v1/meta"):
                call(app, "GET", path, json_headers(key))
            for mode in ("blocking", "streaming"):
                call(app, "POST", "/v1/workflows/run", json_headers(key), run_body(mode=mode))
    finally:
        logging.getLogger("fake_server").removeHandler(crashes)
        app.close()
    if crashes.found:
        raise crashes.found[0]


class _Crashes(logging.Handler):
    """The exceptions that a server logs in place of raising them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])


def run_process(command: Sequence[str], folder: Path) -> Outcome:
    """Run ``command`` as a user does; a server is ended as soon as it serves."""
    program = {"contract": "contract", "fake-server": "fake_server"}[command[0]]
    with subprocess.Popen(
        [sys.executable, "-m", program, *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline().startswith("Fake Dify"):
            process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=_HANGS_S)
    return Outcome(process.returncode, stderr)


def _reset_peak_mb() -> float:
    """Forget the peak so far; the memory in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def _peak_mb() -> float:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Many files
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What a file does that none may do; ``folder`` keeps it."""

    number: int
    kind: str
    problem: str
    command: Sequence[str]

    def __str__(self) -> str:
        return f"file {self.number} ({self.kind}): {self.problem}\n    {shlex.join(self.command)}"


@dataclass(slots=True)
class Report:
    """What became of all files."""

    seed: int
    seconds: float = 0.0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest_s: float = 0.0
    largest_mb: float = 0.0

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.ends})
        lines = [f"{sum(self.ends.values())} files in {self.seconds:.0f} s, seed {self.seed}"]
        for kind in kinds:
            ends = {end: number for (of, end), number in sorted(self.ends.items()) if of == kind}
            text = ", ".join(f"{end} {number}" for end, number in ends.items())
            lines.append(f"  {kind:<12}{sum(ends.values()):>6}   {text}")
        lines.append(f"at most {self.slowest_s:.2f} s of CPU and {self.largest_mb:.0f} MB a file")
        lines.append(f"{len(self.findings)} findings")
        return "\n".join([*lines, *map(str, self.findings)])


def examine(seed: int, number: int, folder: Path) -> tuple[str, Sequence[str], Outcome, list[str]]:
    """Write and read file ``number``: its kind, its command, how that ended, and what is wrong with
    it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind, command = write_case(seed, number, folder)
    outcome = outcome_of(lambda: run_command(command))
    if (
        outcome.cpu_s > MOST_CPU_S and outcome.crash is None
    ):  # other processes cost time of caches; once more
        again = outcome_of(lambda: run_command(command))
        outcome = min(outcome, again, key=lambda one: one.cpu_s)
    found = list(problems(outcome))
    if number % _REAL_EVERY == 0 and not found and command[0] != _HISTORY:
        found = [f"as a process: {problem}" for problem in problems(run_process(command, folder))]
    return kind, command, outcome, found


def work(connection: Connection, seed: int, folder: Path) -> None:
    """A worker: reads numbers of files, and writes what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    signal.signal(signal.SIGPROF, raise_too_slow)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for _ in range(2):  # what the first of each kind imports and caches is not its own
        for some in seeds().values():
            path = folder / "warm" / some[0].name
            path.parent.mkdir(exist_ok=True)
            path.write_text(some[0].text)
            outcome_of(partial(run_command, some[0].command(path)))
            shutil.rmtree(path.parent)
    while (number := connection.recv()) is not None:
        connection.send((number, *examine(seed, number, folder / "case")))
        if number % 50 == 0:
            gc.collect()


def raise_too_slow(number: int, frame: FrameType | None) -> None:
    raise _TooSlowError


def campaign(
    count: int, seed: int, keep: Path, report_line: Callable[[str], None] = lambda line: None
) -> Report:
    """Examine files 0 to ``count``; files that find something stay in ``keep``."""
    report, began = Report(seed), time.monotonic()
    context = multiprocessing.get_context("spawn")
    numbers = iter(range(count))
    with tempfile.TemporaryDirectory() as scratch:
        workers: dict[Connection, _Worker] = {}

        def hire() -> None:
            folder = Path(scratch) / f"worker-{len(report.ends)}-{time.monotonic_ns()}"
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, seed, folder), daemon=True)
            process.start()
            theirs.close()
            workers[ours] = _Worker(process, folder)
            workers[ours].give(ours, next(numbers, None))

        for _ in range(os.cpu_count() or 1):
            hire()
        while workers:
            for connection in wait(list(workers), timeout=1.0):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                try:
                    _note(report, connection.recv(), worker, keep)
                    if sum(report.ends.values()) % 500 == 0:
                        report_line(
                            f"{sum(report.ends.values()):>6} files, {len(report.findings)} findings"
                        )
                    if not worker.give(connection, next(numbers, None)):
                        del workers[connection]
                except EOFError:
                    _lost(report, workers.pop(connection), keep, "the process died")
                    hire()
            for connection, worker in list(workers.items()):
                if time.monotonic() - worker.since > _HANGS_S:
                    worker.process.kill()
                    _lost(
                        report,
                        workers.pop(connection),
                        keep,
                        f"nothing came of it for {_HANGS_S:g} s",
                    )
                    hire()
    report.seconds = time.monotonic() - began
    report.findings.sort(key=lambda finding: finding.number)
    return report


@dataclass(slots=True)
class _Worker:
    process: Any
    folder: Path
    number: int | None = None
    since: float = 0.0

    def give(self, connection: Connection, number: int | None) -> bool:
        """Send the next ``number``; False where there is none, and the worker ends."""
        self.number, self.since = number, time.monotonic()
        with contextlib.suppress(OSError):
            connection.send(number)
        return number is not None


def _note(
    report: Report,
    result: tuple[int, str, Sequence[str], Outcome, list[str]],
    worker: _Worker,
    keep: Path,
) -> None:
    number, kind, command, outcome, found = result
    net = " by the last net" if _NET in outcome.stderr else ""
    report.ends[kind, "found" if found else "used" if outcome.code == 0 else f"refused{net}"] += 1
    if not found:
        report.slowest_s = max(report.slowest_s, outcome.cpu_s)
        report.largest_mb = max(report.largest_mb, outcome.grown_mb)
    for problem in found:
        report.findings.append(Finding(number, kind, problem, _kept(worker, number, command, keep)))


def _lost(report: Report, worker: _Worker, keep: Path, why: str) -> None:
    if worker.number is not None:
        report.ends["lost", "found"] += 1
        report.findings.append(
            Finding(worker.number, "lost", why, _kept(worker, worker.number, (), keep))
        )


def _kept(worker: _Worker, number: int, command: Sequence[str], keep: Path) -> Sequence[str]:
    """The case copied to ``keep``, and its command there."""
    case, kept = worker.folder / "case", keep / str(number)
    if case.exists():
        shutil.copytree(case, kept, dirs_exist_ok=True)
    return [part.replace(str(case), str(kept)) for part in command] or [str(kept)]


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz files", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=COUNT, help="how many files (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="what decides them all (default: %(default)s)"
    )
    parser.add_argument(
        "--keep", type=Path, default=None, help="where files that find something go"
    )
    options = parser.parse_args(arguments)
    keep = options.keep or Path(tempfile.gettempdir()) / f"fuzz-files-{options.seed}"
    report = campaign(
        options.count, options.seed, keep, lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(report)
    return 1 if report.findings else 0
