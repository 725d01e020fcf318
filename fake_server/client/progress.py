"""Shows how a run goes on: a live list of its nodes on a terminal, else a line for each one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from dify_wire.text_file import readable

_SYMBOLS = {
    "succeeded": ("✓", "green"),
    "partial-succeeded": ("!", "yellow"),
    "exception": ("!", "yellow"),
    "failed": ("✗", "red"),
    "stopped": ("■", "yellow"),
    "paused": ("‖", "yellow"),
}
_MOST_NODES = 20  # of a long run the newest, so that the list fits a screen
_INSIDE = ("iteration_id", "loop_id")


@dataclass(slots=True)
class Node:
    """A node of the run that has started; ``status`` is ``running`` until it finishes."""

    title: str
    inside: bool
    started_s: float
    status: str = "running"
    seconds: float = 0.0
    tokens: int = 0
    error: str = ""

    def detail(self, now_s: float) -> str:
        """How long it took, or takes by now, its tokens, and what failed."""
        parts = [f"{now_s - self.started_s if self.status == 'running' else self.seconds:.1f} s"]
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        if self.error:
            parts.append(self.error)
        return ", ".join(parts)


@dataclass(slots=True)
class Progress:
    """What the events of a run have said of it so far."""

    monotonic: Callable[[], float] = time.monotonic
    task_id: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> Node | None:
        """Learn from an event; the node that it finished."""
        self.task_id = str(event.get("task_id") or self.task_id)
        data = event.get("data")
        if not isinstance(data, Mapping):
            return None
        key = str(data.get("id"))
        match event.get("event"):
            case "node_started":
                title = readable(str(data.get("title") or data.get("node_type")))
                inside = any(data.get(name) for name in _INSIDE)
                self.nodes[key] = Node(title, inside, self.monotonic())
            case "node_finished" if key in self.nodes:
                node = self.nodes[key]
                node.status = str(data.get("status"))
                node.seconds = number(data.get("elapsed_time"))
                metadata = data.get("execution_metadata")
                if isinstance(metadata, Mapping):
                    node.tokens = int(number(metadata.get("total_tokens")))
                node.error = readable(str(data.get("error") or ""))
                return node
        return None


def number(value: Any) -> float:
    """A number as a host gives it; 0 where it gives something else."""
    return value if isinstance(value, int | float) and math.isfinite(value) else 0


@contextmanager
def shown(progress: Progress, console: Console) -> Iterator[Callable[[Node | None], None]]:
    """Shows the run until the context ends; call what it gives after each event, with the node
    that has finished.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda node: None if node is None else console.print(*_cells(node, 0))
        return
    spinner = Spinner("dots")
    with Live(
        get_renderable=lambda: _table(progress, spinner), console=console, refresh_per_second=8
    ) as live:
        yield lambda _: None
        live.refresh()


def _table(progress: Progress, spinner: Spinner) -> Table:
    table = Table.grid(padding=(0, 1))
    now_s = progress.monotonic()
    for node in list(progress.nodes.values())[-_MOST_NODES:]:
        symbol, *others = _cells(node, now_s)
        table.add_row(spinner if node.status == "running" else symbol, *others)
    if not progress.nodes:
        table.add_row(spinner, "waiting for the host")
    return table


def _cells(node: Node, now_s: float) -> tuple[Text, Text, Text]:
    symbol, style = _SYMBOLS.get(node.status, ("?", ""))
    title = Text("  " * node.inside + node.title)
    return Text(symbol, style), title, Text(node.detail(now_s), "dim")
