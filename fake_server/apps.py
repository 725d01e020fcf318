"""The apps behind the keys: what a key opens, or why it opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dify_wire.exchange import AppKind
from fake_server.host_spec import InputRule
from fake_server.runs.random_values import uuid4_for
from fake_server.settings import SettingsError
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import App, Workflow

_NAMES = {
    AppKind.CHAT: "chatapp",
    AppKind.UNPUBLISHED: "unpublished",
    AppKind.DISABLED: "apidisabled",
}


def load_apps(
    api_keys: Iterable[str],
    others: Sequence[tuple[str, str]],
    default_workflow: Path | None,
    rules: Sequence[InputRule],
) -> Mapping[str, App]:
    """The app of each key: the default app for ``api_keys``, and of ``others`` (key, KIND or app
    file) what they name.

    The models of the spec's enumeration are those of the image server.
    Raises ``SettingsError`` for a key given twice or a kind that is neither known nor a file, and
    ``dify_wire.spec.SpecError`` for an app file that cannot be used.
    """
    models = next((rule.options for rule in rules if rule.options), ())
    default = _workflow_app(
        load_workflow(default_workflow or default_workflow_path(), rules, models)
    )
    apps = dict.fromkeys(api_keys, default)
    for key, what in others:
        if key in apps:
            raise SettingsError(
                "app", f"the key {key!r} is given twice; each key belongs to one app"
            )
        apps[key] = default if what == AppKind.WORKFLOW else _other_app(what, models)
    return apps


def _other_app(what: str, models: Sequence[str]) -> App:
    if what in set(AppKind):
        kind = AppKind(what)
        name = _NAMES.get(kind, kind.value)
        return App(uuid4_for("app", name), kind, name, f"ref {name}", None)
    path = Path(what)
    # os.path, because Path.exists raises for long names
    if path.suffix not in (".yml", ".yaml") and not os.path.exists(path):  # noqa: PTH110
        raise SettingsError(
            "app", f"{what!r} is neither a kind ({', '.join(AppKind)}) nor an app file"
        )
    return _workflow_app(load_workflow(path, models=models))


def _workflow_app(workflow: Workflow) -> App:
    app_id = uuid4_for("app", workflow.name)
    return App(app_id, AppKind.WORKFLOW, workflow.name, workflow.description, workflow)
