"""``python -m tests.mutants.schemathesis_alone``: what schemathesis alone sees of the same mutants.

It is given what it can use: the spec with the overlay, a key, all its checks, the coverage and
fuzzing phases, 10 examples an operation. What it holds against the untouched host (statuses 500
that are the host's own, TRACE without Allow) is its baseline and does not count. All mutants are
served at once, since it does not look at time. Writes ``docs/mutants.md``, with the results of this
suite beside its own; takes an hour, and changes only with the catalogue. ``--keep`` runs no
schemathesis: the rows of the table stay, and mutants that it lacks run through this suite alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from dify_wire import profile, spec
from dify_wire.text_file import bundled
from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.catalogue import MUTANTS
from tests.mutants.evaluate import run_mutants
from tests.mutants.middleware import Wrap
from tests.mutants.serving import serving, untouched
from tests.mutants.table import NOT_RUN, PATH, Row, schemathesis_score, written
from tests.mutants.table import rows as table_rows

_OPERATIONS = r"^/(files/tools|v1/(workflows|parameters|info|meta|$))"
"""Those that the catalogue breaks; of the others schemathesis could only say what its baseline
has.
"""

_PROCESSES = 2
_HOST_VERSION = "0.6.4"
_OPTIONS = (
    *(
        "--phases", "coverage,fuzzing", "--checks", "all", "--mode", "all", "--max-examples", "10",
        "--seed", "1",
    ),
    *(
        "--no-shrink", "--continue-on-failure", "--generation-database", "none",
        "--suppress-health-check", "all",
    ),
    *(
        "--request-timeout",
        "5",
        "--report",
        "json",
        "--header",
        f"Authorization: Bearer {DEFAULT_API_KEY}",
    ),
    *("--include-path-regex", _OPERATIONS),
)  # fmt: skip


def main() -> int:
    """Judge every mutant by both, or with ``--keep`` the new ones by this suite, and write the
    table.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.schemathesis_alone", description=__doc__
    )
    parser.add_argument(
        "--keep", action="store_true", help="run no schemathesis, keep what the table says of it"
    )
    keeps = parser.parse_args().keep
    known = table_rows()
    seen = {name: known[name] for name in MUTANTS if keeps and _still_holds(name, known)}
    names = [name for name in MUTANTS if name not in seen]
    alone = {} if keeps else {name: ", ".join(found) for name, found in run_schemathesis_on(names)}
    for results in run_mutants(names):
        old = known[results.name][1] if results.name in known else NOT_RUN
        seen[results.name] = (", ".join(results.killers[:1]), alone.get(results.name, old))
    rows = [Row(mutant.area, name, mutant.breaks, *seen[name]) for name, mutant in MUTANTS.items()]
    PATH.write_text(written(rows), encoding="utf-8")
    print(schemathesis_score())
    return 0


def _still_holds(name: str, known: Mapping[str, tuple[str, str]]) -> bool:
    """Whether the table has the mutant, and a check for it that the catalogue still names."""
    return name in known and MUTANTS[name].is_killed_by(known[name][0])


def run_schemathesis_on(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What schemathesis finds wrong with each mutant, in order, as soon as it is there."""
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
            for name, found in zip(
                names, pool.map(partial(_schemathesis_on, folder=Path(folder)), names), strict=True
            ):
                print(f"{name:<44} {', '.join(found) or 'nothing found'}", flush=True)
                yield name, found


def _prepare(folder: Path) -> None:
    """The merged spec, and the baseline of the untouched host."""
    document = spec.load(bundled("openapi.yaml"), profile.overlay_paths(_HOST_VERSION))
    (folder / "spec.json").write_text(json.dumps(document), encoding="utf-8")
    _run(untouched, folder, "untouched", "--baseline-update")


def _schemathesis_on(name: str, folder: Path) -> list[str]:
    return _run(MUTANTS[name].wrap, folder, name, "--max-failures", "1")


def _run(wrap: Wrap, folder: Path, name: str, *options: str) -> list[str]:
    """What schemathesis finds wrong beyond its baseline, by the titles of its failures."""
    report = folder / f"{name}.json"
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        str(folder / "spec.json"),
        *_OPTIONS,
        *options,
    ]
    with serving(wrap) as url:
        places = [
            "--url", url, "--baseline", str(folder / "baseline.json"), "--report-json-path",
            str(report),
        ]  # fmt: skip
        subprocess.run([*command, *places], cwd=folder, capture_output=True, check=False)
    edit_events = json.loads(report.read_text(encoding="utf-8"))
    return [entry["title"] for entry in (*edit_events["failures"], *edit_events["errors"])]


if __name__ == "__main__":
    sys.exit(main())
