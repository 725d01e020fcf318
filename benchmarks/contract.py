"""The contract suite against the fake at speed 10, with every capability, as ``make contract``."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from benchmarks.measure import FAKE, Figure, Sample, Size, beside
from benchmarks.servers import ROOT, environment


def figures(size: Size) -> list[Figure]:
    """All checks; some for the shortest size."""
    options = size.of(["--only", "missing_*"], [], [])
    return beside("contract suite", {FAKE: lambda: _suite(options)}, 1)


def _suite(options: list[str]) -> Sample:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tests.contract.full", *options]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise SystemExit(ended.stdout + ended.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": time.perf_counter() - began, "s CPU, with the fake": used_s}
