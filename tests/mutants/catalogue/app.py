"""What the app says of itself: parameters, info, meta, index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.breaking import Heard, Wrap, hearing
from tests.mutants.edits import Edit, change, drop, json_answers, put
from tests.mutants.mutant import Area

AREA = Area("app endpoints")


def _at(path: str, edit: Edit) -> Wrap:
    """What a GET of ``path`` tells, changed."""
    return json_answers(lambda heard, said: heard.method == "GET" and heard.path == path and said.status == 200, edit)


def _of(path: str, name: str, breaks: str, killers: str, edit: Edit) -> None:
    AREA.add(name, breaks, killers, _at(path, edit))


def _field(variable: str, edit: Edit) -> Edit:
    """An edit of one entry of the form."""

    def edit_form(form: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {kind: edit(shown) if shown["variable"] == variable else shown for kind, shown in entry.items()}
            for entry in form
        ]

    return change("user_input_form", edit_form)


def _without_variable(variable: str) -> Edit:
    return change(
        "user_input_form", lambda form: [one for one in form if next(iter(one.values()))["variable"] != variable]
    )


_PARAMETERS = "/v1/parameters"

_of(
    _PARAMETERS,
    "parameters_without_form",
    "The app tells no form.",
    "parameters_tell_form_and_switches",
    drop("user_input_form"),
)
_of(_PARAMETERS, "parameters_form_empty", "The app's form is empty.", "form_*", put("user_input_form", []))
_of(
    _PARAMETERS,
    "parameters_without_prompt",
    "The app's form has no prompt.",
    "form_has_the_documented_inputs",
    _without_variable("prompt"),
)
_of(
    _PARAMETERS,
    "parameters_without_model",
    "The app's form has no model_name.",
    "form_has_the_documented_inputs",
    _without_variable("model_name"),
)
_of(
    _PARAMETERS,
    "parameters_prompt_optional",
    "The form says that the prompt is optional.",
    "form_requires_the_prompt",
    _field("prompt", put("required", False)),
)
_of(
    _PARAMETERS,
    "parameters_model_required",
    "The form says that the model is required.",
    "form_leaves_the_model_open",
    _field("model_name", put("required", True)),
)
_of(
    _PARAMETERS,
    "parameters_options_short",
    "The form leaves a model out.",
    "form_offers_the_documented_models",
    _field("model_name", change("options", lambda options: options[1:])),
)
_of(
    _PARAMETERS,
    "parameters_options_more",
    "The form offers a model that is refused.",
    "unknown_model_is_400_and_names_the_models",
    _field("model_name", change("options", lambda options: [*options, "sdxl"])),
)
_of(
    _PARAMETERS,
    "parameters_without_features",
    "The app tells nothing but its form.",
    "parameters_tell_form_and_switches",
    lambda told: {"user_input_form": told["user_input_form"]},
)
_of(
    _PARAMETERS,
    "parameters_without_file_upload",
    "The app does not tell whether it takes files.",
    "parameters_tell_form_and_switches",
    drop("file_upload"),
)
_of(
    _PARAMETERS,
    "parameters_wrapped",
    "The app's parameters stand under data.",
    "parameters_tell_form_and_switches",
    lambda told: {"data": told},
)
_of("/v1/info", "info_without_name", "The app has no name.", "info_tells_name_and_description", drop("name"))
_of(
    "/v1/info",
    "info_without_description",
    "The app has no description.",
    "info_tells_name_and_description",
    drop("description"),
)
_of("/v1/info", "info_name_a_number", "The app's name is a number.", "info_tells_name_and_description", put("name", 1))
_of(
    "/v1/meta",
    "meta_without_icons",
    "The app tells no tool_icons.",
    "meta_tells_the_icons_of_the_tools",
    drop("tool_icons"),
)
_of(
    "/v1/meta",
    "meta_icons_a_list",
    "tool_icons is a list.",
    "meta_tells_the_icons_of_the_tools",
    change("tool_icons", list),
)


def _open(path: str) -> Wrap:
    def change_one(heard: Heard) -> Heard:
        asked = heard.path == path and heard.method == "GET"
        return heard.with_header("authorization", f"Bearer {DEFAULT_API_KEY}") if asked else heard

    return hearing(lambda: change_one)


def _missing(path: str) -> Wrap:
    return hearing(lambda: lambda heard: replace(heard, path="/v1/nothing") if heard.path == path else heard)


for _path in (_PARAMETERS, "/v1/info", "/v1/meta"):
    _short = _path.rpartition("/")[2]
    AREA.add(f"{_short}_without_key", f"{_path} needs no key.", f"{_short}_need*_the_key", _open(_path))
    AREA.add(f"{_short}_path_missing", f"There is no {_path}.", f"{_short}_tell*", _missing(_path))
_of("/v1/", "greeting_without_version", "The greeting tells no version.", "greeting_*", drop("server_version"))
