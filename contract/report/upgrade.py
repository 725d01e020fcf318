"""What changes between two versions, as a report: at a terminal, as JSON, HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from contract.report.files import render
from contract.report.terminal import Terminal
from contract.upgrade.changes import Change, Severity, Upgrade
from contract.upgrade.evidence import Action, Evidence
from dify_wire.strict import counted

FORMAT = 1
"""Changes when a field changes its meaning or goes."""

_MOST_NAMES = 5
_MOST_ACTIONS = 3
_LONGEST_REQUEST = 160
_LONGEST_CELL = 120
_STYLES = {
    Severity.BREAKS: ("✗", "x", "bold red"),
    Severity.CHANGES: ("≠", "~", "magenta"),
    Severity.ADDS: ("+", "+", "green"),
    Severity.WRITES: ("–", "-", "dim"),
}


def _names(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def _stated(evidence: Evidence) -> str:
    exchanges = f" [{_names(evidence.exchanges)}]" if evidence.exchanges else ""
    return f"{_action(evidence.action)}{exchanges}"


def _action(action: Action) -> str:
    return f"dify-{action.version}.yaml: {action.title}"


# Terminal
# ------------------------------------------------------------------------------------------


class TerminalUpgrade(Terminal):
    """One entry a change, worst first: both sides, where it was seen, what the overlays say."""

    name_width = 10

    def show(self, upgrade: Upgrade) -> None:
        self._write(upgrade.headline, "bold")
        for note in notes(upgrade):
            self._write(note, "yellow")
        for severity in Severity:
            changes = upgrade.of(severity)
            if changes:
                self._write(f"\n{severity.heading}", "bold")
            for change in changes:
                self._change(change, upgrade)
        if upgrade.stated:
            self._write("\nAlso stated by the overlays", "bold")
        for action in upgrade.stated:
            self._write(f"  {_action(action)}", "dim")

    def _change(self, change: Change, upgrade: Upgrade) -> None:
        mark, plain, style = _STYLES[change.severity]
        line = Text(f"\n  {plain if self._ascii else mark} ", style)
        line.append(change.title, "default")
        self._console.print(line)
        self._fact(upgrade.a, change.before)
        self._fact(upgrade.b, change.after)
        if change.kind == "status":
            self._fact("request", _cut(" ".join(change.sides.request.split()), _LONGEST_REQUEST))
        more = ["…"] if len(change.places) > _MOST_NAMES else []
        places = [*change.places[:_MOST_NAMES], *more]
        self._fact("at", "\n".join(places) if len(places) > 1 else "")
        requests = counted(len(change.requests), "request")
        self._fact("seen in", f"{requests}: {_names(change.requests)}")
        self._fact("stated in", "\n".join(map(_stated, change.evidence[:_MOST_ACTIONS])))


def notes(upgrade: Upgrade) -> Iterator[str]:
    """What a reader has to know of the app that was given."""
    app = upgrade.app
    if app is None:
        return
    nodes = ", ".join(sorted(app.nodes)) or "none"
    left_out = counted(len(upgrade.left_out), "change")
    yield f"For the app {app.name} (nodes: {nodes}); {left_out} left out that it cannot meet."


# JSON
# ------------------------------------------------------------------------------------------


def upgrade_json(upgrade: Upgrade) -> dict[str, Any]:
    app = upgrade.app
    return {
        "format": FORMAT,
        "from": upgrade.a,
        "to": upgrade.b,
        "headline": upgrade.headline,
        "app": app
        and {"name": app.name, "nodes": sorted(app.nodes), "variables": sorted(app.variables)},
        "requests": {"compared": upgrade.compared, "differing": upgrade.differing},
        "changes": [_change_json(one) for one in upgrade.changes],
        "left_out": [_change_json(one) for one in upgrade.left_out],
        "stated": [_action_json(one) for one in upgrade.stated],
    }


def _change_json(change: Change) -> dict[str, Any]:
    sides = change.sides
    return {
        "severity": change.severity.name.lower(),
        "kind": change.kind,
        "title": change.title,
        "places": list(change.places),
        "before": change.before,
        "after": change.after,
        "requests": list(change.requests),
        "example": {
            "name": sides.name,
            "request": sides.request,
            "before": sides.before,
            "after": sides.after,
        },
        "evidence": [
            {**_action_json(one.action), "exchanges": list(one.exchanges)}
            for one in change.evidence
        ],
    }


def _action_json(action: Action) -> dict[str, Any]:
    return {
        "overlay": f"dify-{action.version}.yaml",
        "target": action.target,
        "description": action.description,
        "source": action.source,
        "exchanges": sorted(action.exchanges),
    }


# HTML and Markdown
# ------------------------------------------------------------------------------------------


def upgrade_html(upgrade: Upgrade) -> str:
    return render(
        "upgrade.html",
        upgrade=upgrade,
        notes=list(notes(upgrade)),
        Severity=Severity,
        names=_names,
        stated=_stated,
        action=_action,
    )


def upgrade_markdown(upgrade: Upgrade) -> str:
    """The page of the docs on these two versions."""
    a, b = upgrade.a, upgrade.b
    lines = [
        f"# From Dify {a} to {b}",
        "",
        "Generated by `make docs` from the recordings of both versions;",
        f"`contract upgrade {a} {b}` prints the same with more detail.",
        "",
        upgrade.headline,
    ]
    for severity in Severity:
        changes = upgrade.of(severity)
        if changes:
            head = f"| what | {a} | {b} | seen in |"
            lines += ["", f"## {severity.heading}", "", head, "|---|---|---|---|"]
        for change in changes:
            sides = [_cut(text, _LONGEST_CELL) for text in (change.before, change.after)]
            seen = f"{len(change.requests)}: {', '.join(change.requests[:2])}"
            lines.append(f"| {' | '.join(map(_escaped, (change.title, *sides, seen)))} |")
    if upgrade.stated:
        lines += ["", "## Also stated by the overlays", ""]
        lines += [f"- {_escaped(_action(action))}" for action in upgrade.stated]
    return "\n".join(lines) + "\n"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _escaped(text: str) -> str:
    """``text`` as it stands, within a cell of a table."""
    text = " ".join(text.replace("\n", "; ").split())
    for character in "\\`*_|<>[]{}":
        text = text.replace(character, f"\\{character}")
    return text
