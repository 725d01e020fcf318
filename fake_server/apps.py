"""The apps of the host by their keys: the default app, kinds without a workflow, and app files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dify_wire.app_kind import AppKind
from fake_server.host_spec import HostSpec
from fake_server.runs.random_values import uuid4_for
from fake_server.settings import SettingsError
from fake_server.workflow.dsl import version_problems
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import App, Problem, Workflow
from fake_server.workflow.problems import NotWorkflowError

_APP_SUFFIXES = (".yml", ".yaml", ".json")
_NAMES = {
    AppKind.CHAT: "chatapp",
    AppKind.UNPUBLISHED: "unpublished",
    AppKind.DISABLED: "apidisabled",
}


def load_apps(
    api_keys: Iterable[str],
    others: Sequence[tuple[str, str]],
    default_workflow: Path | None,
    spec: HostSpec,
) -> Mapping[str, App]:
    """The app of each key: the default app for ``api_keys``, and of ``others`` (key, KIND or app
    file) what they name.

    The models of the spec's enumeration are those of the image server.
    Raises ``SettingsError`` for a key given twice or a kind that is neither known nor a file, and
    ``dify_wire.spec.SpecError`` for an app file that cannot be used.
    """
    models = next((rule.options for rule in spec.inputs if rule.options), ())
    path = default_workflow or default_workflow_path()
    default = _workflow_app(load_workflow(path, spec.inputs, models), spec)
    apps = dict.fromkeys(api_keys, default)
    for key, what in others:
        if key in apps:
            raise SettingsError(
                "app", f"the key {key!r} is given twice; each key belongs to one app"
            )
        apps[key] = default if what == AppKind.WORKFLOW else _other_app(what, models, spec)
    return _with_own_ids(apps, {key: what for key, what in others if what != AppKind.WORKFLOW})


def _with_own_ids(apps: Mapping[str, App], files: Mapping[str, str]) -> Mapping[str, App]:
    """``apps`` with an id of its own for each: files of one name are different apps, and one file
    under several keys is one app.
    """
    first: dict[str, str] = {}
    apart: dict[str, App] = {}
    for key, app in apps.items():
        what = files.get(key, "")
        app_id, number = app.app_id, 1
        while first.setdefault(app_id, what) != what:
            number += 1
            app_id = uuid4_for("app", f"{app.name} {number}")
        apart[key] = app if app_id == app.app_id else app._replace(app_id=app_id)
    return apart


def _other_app(what: str, models: Sequence[str], spec: HostSpec) -> App:
    if what in set(AppKind):
        kind = AppKind(what)
        name = _NAMES.get(kind, kind.value)
        return App(uuid4_for("app", name), kind, name, f"ref {name}", None)
    path, beside = app_files(what)
    try:
        return _workflow_app(load_workflow(path, models=models, beside=beside), spec)
    except NotWorkflowError as error:
        name = str(error.app.get("name") or path.stem)
        description = str(error.app.get("description") or "")
        warnings = (Problem(error.path, error.place, error.message),)
        return App(uuid4_for("app", name), AppKind.CHAT, name, description, None, warnings)


def app_files(what: str) -> tuple[Path, Path | None]:
    """The files of ``export.yml`` or ``export.yml+fake.yml``. Raises ``SettingsError``."""
    # os.path, because Path.exists raises for long names
    export, plus, beside = what.rpartition("+")
    if os.path.exists(what) or not plus:  # noqa: PTH110
        export, beside = what, ""
    elif not export or not beside:
        raise SettingsError("app", f"{what!r} names no file on one side of its +")
    path = Path(export)
    if path.suffix not in _APP_SUFFIXES and not os.path.exists(path):  # noqa: PTH110
        raise SettingsError(
            "app", f"{what!r} is neither a kind ({', '.join(AppKind)}) nor an app file"
        )
    return path, Path(beside) if beside else None


def _workflow_app(workflow: Workflow, spec: HostSpec) -> App:
    warnings = (*version_problems(workflow, spec), *workflow.warnings)
    return App(
        app_id=uuid4_for("app", workflow.name),
        kind=AppKind.WORKFLOW,
        name=workflow.name,
        description=workflow.description,
        workflow=workflow,
        warnings=warnings,
    )
