"""Requests with two things wrong: hosts that report the second first (FACTS 3, order).

Each mutant repairs the flaw that a true host reports, so that the other one is reported.
"""

from __future__ import annotations

from collections.abc import Callable

from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.edits import replace_requests
from tests.mutants.middleware import Request
from tests.mutants.mutant import Area
from tests.mutants.serving import APP_KEYS

AREA = Area("precedence")
_MODES = ("blocking", "streaming")


def _first(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    repaired: Callable[[Request], Request],
) -> None:
    """A host that gets ``repaired`` instead of a run request that ``when`` picks."""
    wrap = replace_requests(lambda request: request.is_run and when(request), repaired)
    AREA.add(name, breaks, killers, wrap)


def _with_key(request: Request) -> Request:
    return request.with_header("authorization", f"Bearer {DEFAULT_API_KEY}")


def _uses_key_of(kind: str) -> Callable[[Request], bool]:
    return lambda request: request.header("authorization") == f"Bearer {APP_KEYS[kind]}"


def _is_malformed(request: Request) -> bool:
    return request.json is None and request.body not in (b"", b"null")


def _has_wrong_mode(request: Request) -> bool:
    mode = request.fields.get("response_mode", "blocking")
    return isinstance(mode, str) and mode not in _MODES


def _without(name: str) -> Callable[[Request], Request]:
    def change(request: Request) -> Request:
        return request.with_json(
            {key: value for key, value in request.fields.items() if key != name}
        )

    return change


# fmt: off

# The key, the app, the JSON
_first("body_before_key", "Without a key, JSON that breaks off is reported first.",
       "authorization_is_checked_before_the_body",
       lambda request: request.header("authorization") is None and _is_malformed(request),
       _with_key)
_first("content_type_before_key", "With an unknown key, a missing Content-Type is reported first.",
       "authorization_is_checked_before_the_content_type",
       lambda request: (
           request.header("content-type") is None
           and request.header("authorization") not in (None, f"Bearer {DEFAULT_API_KEY}")
       ), _with_key)
_first("kind_of_app_before_json",
       "With a chat app's key, the kind of app is reported before JSON that breaks off.",
       "json_is_checked_before_the_kind_of_app",
       lambda request: _uses_key_of("chat")(request) and _is_malformed(request),
       lambda request: request.with_json({}))
_first("json_before_disabled_app",
       "With a disabled app's key, JSON that breaks off is reported first.",
       "app_is_checked_before_the_json",
       lambda request: _uses_key_of("disabled")(request) and _is_malformed(request), _with_key)
_first("prompt_before_publishing",
       "With an unpublished app's key, a missing prompt is reported first.",
       "publishing_is_checked_before_the_prompt",
       lambda request: _uses_key_of("unpublished")(request) and request.fields.get("inputs") == {},
       _with_key)

# The fields of the body
_first("fields_before_user", "Missing inputs and a wrong mode are reported before a missing user.",
       "user_is_checked_before_the_fields",
       lambda request: "user" not in request.fields and _has_wrong_mode(request),
       lambda request: request.with_fields(user="anonymous"))
_first("mode_before_inputs", "A wrong mode is reported before missing inputs.",
       "inputs_are_checked_before_the_mode",
       lambda request: (
           "user" in request.fields and "inputs" not in request.fields and _has_wrong_mode(request)
       ), lambda request: request.with_fields(inputs={"prompt": "a man"}))
_first("mode_before_files", "A wrong mode is reported before wrong files.",
       "files_are_checked_before_the_mode",
       lambda request: "files" in request.fields and _has_wrong_mode(request), _without("files"))
_first("prompt_before_mode", "A missing prompt is reported before a wrong mode.",
       "mode_is_checked_before_the_prompt",
       lambda request: request.fields.get("inputs") == {} and _has_wrong_mode(request),
       _without("response_mode"))
_first("model_before_prompt", "An unknown model is reported before a missing prompt.",
       "prompt_is_checked_before_the_model",
       lambda request: request.fields.get("inputs") == {"model_name": "nope"},
       lambda request: request.with_fields(inputs={"prompt": "a man", "model_name": "nope"}))
# fmt: on
