"""Who may import whom: what keeps the pure parts pure, the two sides apart and the start quick."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fake_dify", "fake_server", "dify_wire", "contract")
PURE = [
    "fake_server.runs.branches",
    "fake_server.runs.containers",
    "fake_server.runs.engine",
    "fake_server.runs.events",
    "fake_server.runs.render",
    "fake_server.runs.scope",
    "fake_server.runs.signing",
    "fake_server.runs.values",
    "fake_server.runs.walk",
    "fake_server.workflow",
]
DRAWING = "fake_server.images.drawing"
"""Loaded by the first picture that is fetched: no run ever gets there."""
WEB = ["starlette", "uvicorn", "sse_starlette", "httptools", "h11", "anyio"]
TIME_AND_CHANCE = ["time", "datetime", "asyncio", "threading", "socket", "secrets", "os.urandom"]


@cache
def modules() -> dict[str, Path]:
    """The file of every module of the project by its name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text("utf-8"))


def imported(tree: ast.AST, only_at_import: bool = False) -> Iterator[str]:
    """The full names that ``tree`` imports; on wish without those inside functions and for the type
    checker alone.
    """
    for node in ast.iter_child_nodes(tree):
        if only_at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imported(node, only_at_import)


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """All that a module imports, wherever it does."""
    return tuple(imported(tree_of(module)))


def within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def reached(start: str) -> dict[str, list[str]]:
    """Everything that a module imports, itself or through modules of the project, each with the way
    to it.
    """
    ways: dict[str, list[str]] = {}
    pending = [(start, [start])]
    while pending:
        module, way = pending.pop()
        for name in imports_of(module):
            if name in ways:
                continue
            ways[name] = [*way, name]
            own = next(
                (known for known in (name, name.rpartition(".")[0]) if known in modules()), None
            )
            if own not in (None, DRAWING):
                pending.append((own, [*way, own]))
    return ways


def offences(
    importers: Iterable[str], forbidden: Iterable[str], allowed: Iterable[str] = ()
) -> list[str]:
    """Which modules of ``importers`` import something ``forbidden`` by themselves."""
    return [
        f"{module} imports {name}"
        for module in modules()
        if within(module, importers) and not within(module, allowed)
        for name in imports_of(module)
        if within(name, forbidden)
    ]


def test_there_is_something_to_look_at() -> None:
    """The rules below speak of modules that exist, and imports are found wherever they stand."""
    for name in (
        *PURE,
        "dify_wire",
        "fake_server.server.run",
        "fake_server.http.event_stream",
        "fake_server.images",
    ):
        assert name in modules()
    assert "PIL" in {name.partition(".")[0] for name in imports_of("fake_server.images.drawing")}
    assert "uvicorn" in {name.partition(".")[0] for name in imports_of("fake_server.server.server")}
    code = (
        "import a\nfrom b.c import d\n"
        "def f():\n    import e\n    class G:\n        from h import i\n"
    )
    assert list(imported(ast.parse(code))) == ["a", "b.c.d", "e", "h.i"]
    assert list(imported(ast.parse(code), only_at_import=True)) == ["a", "b.c.d"]


def test_wire_knows_neither_side() -> None:
    """It is what both agree on."""
    assert offences(["dify_wire"], ["fake_server", "contract"]) == []


def test_the_fake_and_the_contract_do_not_know_each_other() -> None:
    """The judge sees with its own eyes, so that one bug cannot hide another."""
    assert offences(["fake_server"], ["contract"]) == []
    assert offences(["contract"], ["fake_server"]) == []


def test_the_project_does_not_know_its_tests() -> None:
    """Nor the tools that only tests need."""
    allowed = ["contract", "fake_dify.pytest_plugin"]
    assert offences(PACKAGES, ["tests", "pytest", "hypothesis", "schemathesis"], allowed) == []


@pytest.mark.parametrize(
    ("library", "known_to"),
    [
        ("uvicorn", ["fake_server.server"]),
        ("sse_starlette", ["fake_server.http.event_stream", "fake_server.admin.changes"]),
        ("PIL", ["fake_server.images", "fake_server.client.saving"]),
        ("httpx", ["fake_server.client", "fake_server.document"]),
        ("rich", ["fake_server.client", "fake_server.cli.request"]),
        (
            "click",
            [
                "dify_wire.command",
                "dify_wire.option_values",
                "fake_server.cli",
                "fake_server.server.record",
            ],
        ),
        ("h11", ["fake_server.recorder"]),
        ("yaml", ["dify_wire.yaml_file"]),
        ("dotenv", ["fake_server.cli.options"]),
        ("jsonschema_rs", ["dify_wire.spec", "fake_server.workflow.json_objects"]),
        ("prometheus_client", ["fake_server.admin.calls"]),
    ],
)
def test_a_library_is_known_in_one_place(library: str, known_to: list[str]) -> None:
    """So that it can be exchanged there."""
    assert offences(["fake_server", "dify_wire"], [library], known_to) == []
    assert offences(known_to, [library]) != []


@pytest.mark.parametrize("module", [name for name in modules() if within(name, PURE)])
def test_the_pure_parts_stay_pure(module: str) -> None:
    """No web, no waiting, no clock: neither by themselves nor through anything of the project that
    they import.
    """
    ways = {
        name: way for name, way in reached(module).items() if within(name, [*WEB, *TIME_AND_CHANCE])
    }
    assert ways == {}


@pytest.mark.parametrize(
    "module", ["fake_server.runs.request", "fake_server.host_spec", "fake_server.spec"]
)
def test_the_checks_of_a_request_know_no_web_either(module: str) -> None:
    """They take bytes and values, and run in a test without a server."""
    assert [name for name in reached(module) if within(name, [*WEB, "asyncio", "time"])] == []


def test_behaviours_do_not_act_themselves() -> None:
    """They say what is done to a request; what waits, sends, keeps or breaks a connection is the
    server's part.
    """
    acting = ["clock", "playback", "store", "observe", "journal", "serving", "admin"]
    forbidden = [*WEB, *TIME_AND_CHANCE, *(f"fake_server.{name}" for name in acting)]
    assert offences(["fake_server.scenarios"], forbidden) == []


@pytest.mark.parametrize(
    ("package", "known_to"),
    [
        ("fake_server.admin", ["fake_server.app"]),
        ("fake_server.testing", []),
        ("fake_server.server", ["fake_server.cli", "fake_server.testing.host"]),
    ],
)
def test_what_stands_around_the_host_is_unknown_to_it(package: str, known_to: list[str]) -> None:
    """So that it can be told, watched and served without knowing by whom."""
    assert offences(["fake_server"], [package], [package, *known_to]) == []
    assert all(offences([module], [package]) for module in known_to)


def test_only_the_clock_asks_for_the_time() -> None:
    """But for what measures or reads moments, and the command line, which signs for now."""
    allowed = [
        "dify_wire.recording.index",  # compares times of files
        "fake_server.client.progress",
        "fake_server.clock",
        "fake_server.journal.exchanges",
        "fake_server.journal",
        "fake_server.cli",
        "fake_server.recorder.upstream",
        "fake_server.recorder.writing",
        "fake_server.server.record",
        "fake_server.server.workers",
        "fake_server.shared",  # whether other replicas are alive
    ]
    asking = offences(["fake_server", "dify_wire"], ["time", "datetime.datetime"], allowed)
    assert asking == [  # they write times that they are given
        "fake_server.endpoints.records imports datetime.datetime",
        "fake_server.server.log imports datetime.datetime",
    ]


def test_images_are_drawn_only_when_one_is_fetched() -> None:
    """The package of images loads neither Pillow nor its font by being imported."""
    names = list(imported(tree_of("fake_server.images"), only_at_import=True))
    assert names == ["typing.NamedTuple"]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import fake_server",
            [
                "PIL",
                "schemathesis",
                "hypothesis",
                "httpx",
                "uvicorn",
                "click",
                "pytest",
                "contract",
            ],
        ),
        (
            "import fake_server.cli",
            ["PIL", "starlette.testclient", "uvicorn", "yaml", "jsonschema", "httpx"],
        ),
        (
            "from fake_server import Settings, create_app; create_app(Settings())",
            [
                *(
                    "PIL",
                    "httpx",
                    "h11",
                    "jsonschema",
                    "jsonschema_rs",
                    "prometheus_client",
                    "hypothesis",
                ),
                *("dify_wire.recording", "fake_server.admin", "fake_server.replay"),
                *("dify_wire.exchange", "dify_wire.redaction", "fake_server.compiled", "html"),
                *("fake_server.http.form", "fake_server.runs.engine", "fake_server.runs.events"),
                "fake_server.runs.records",
            ],
        ),
        (
            "import fake_server.server.run",
            [
                "PIL",
                "h11",
                "httptools",
                "sse_starlette",
                "starlette.requests",
                "anyio",
                "python_multipart",
                "difflib",
                "tomllib",
            ],
        ),
        (
            "import fake_dify.pytest_plugin",
            ["click", "starlette", "uvicorn", "fake_server.settings", "asyncio"],
        ),
        ("import dify_wire.spec", ["yaml", "fake_server", "starlette"]),
    ],
)
def test_what_is_imported_at_the_start_is_what_the_start_needs(
    statement: str, absent: list[str]
) -> None:
    """In a fresh process: everything else waits until something needs it."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = json.loads(ended.stdout)
    assert [name for name in loaded if within(name, absent)] == []
