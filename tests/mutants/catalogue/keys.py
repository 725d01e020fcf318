"""Keys that a host accepts though they are missing, malformed, another app's, or no app's."""

from __future__ import annotations

from collections.abc import Callable

from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.edits import replace_requests
from tests.mutants.middleware import Request, change_requests
from tests.mutants.mutant import Area
from tests.mutants.serving import APP_KEYS

AREA = Area("keys")


def _lenient(name: str, breaks: str, killers: str, when: Callable[[Request], bool]) -> None:
    """A host that takes the key of a run request that ``when`` picks for the right one."""
    AREA.add(
        name,
        breaks,
        killers,
        replace_requests(lambda request: request.is_run and when(request), _with_key),
    )


def _key(request: Request) -> str:
    return (request.header("authorization") or "").partition(" ")[2].strip()


def _scheme(request: Request) -> str:
    return (request.header("authorization") or "").partition(" ")[0].lower()


def _with_key(request: Request) -> Request:
    return request.with_header("authorization", f"Bearer {DEFAULT_API_KEY}")


def _is_unknown(request: Request) -> bool:
    return _scheme(request) == "bearer" and _key(request) not in (
        DEFAULT_API_KEY,
        *APP_KEYS.values(),
    )


_KEY_KILLERS = {
    "chat": "key_of_a_chat_app_is_400",
    "unpublished": "unpublished_workflow_is_400",
    "disabled": "disabled_app_is_refused",
    "deleted": "deleted_app_is_refused",
}


def _any_key(name: str, breaks: str, is_taken: Callable[[str], bool]) -> None:
    """A key that ``is_taken`` is as good as the right one, wherever it is sent."""

    def change(request: Request) -> Request:
        return _with_key(request) if _is_unknown(request) and is_taken(_key(request)) else request

    AREA.add(name, breaks, "keys_like_the_right_one_are_refused", change_requests(lambda: change))


# fmt: off
_lenient("key_missing_accepted", "A run needs no key.", "run_without_a_key_is_refused",
         lambda request: request.header("authorization") is None)
_lenient("authorization_empty_accepted", "An empty Authorization opens the app.",
         "empty_authorization_is_401", lambda request: request.header("authorization") == "")
_lenient("key_empty_accepted", "An empty key opens the app.", "bearer_without_key_is_401",
         lambda request: _scheme(request) == "bearer" and not _key(request))
_lenient("key_unknown_accepted", "Any key opens the app.", "run_with_a_wrong_key_is_refused",
         lambda request: bool(_key(request)) and _is_unknown(request))
_lenient("key_scheme_accepted", "Any scheme will do before the key.", "other_scheme_is_401",
         lambda request: _scheme(request) not in ("", "bearer") and bool(_key(request)))
_lenient("key_without_scheme_accepted", "A key without a scheme opens the app.",
         "key_without_bearer_is_401",
         lambda request: request.header("authorization") == DEFAULT_API_KEY)
_lenient("key_prefix_accepted", "Only the first characters of a key count.",
         "word_after_the_key_is_401 unknown_key_is_401",
         lambda request: _is_unknown(request) and _key(request).startswith(DEFAULT_API_KEY[:8]))
_lenient("key_with_more_accepted", "What follows the key after a blank is not looked at.",
         "word_after_the_key_is_401",
         lambda request: _key(request).startswith(f"{DEFAULT_API_KEY} "))
for _kind in APP_KEYS:
    _lenient(
        f"key_of_{_kind}_app_accepted",
        f"The key of a {_kind} app runs the workflow.",
        _KEY_KILLERS[_kind],
        lambda request, kind=_kind: _key(request) == APP_KEYS[kind],  # type: ignore[misc]
    )
_any_key("key_any_case_accepted", "The case of a key does not matter.",
         lambda key: key.lower() == DEFAULT_API_KEY.lower())
_any_key("key_end_ignored", "The last characters of a key do not count.",
         lambda key: " " not in key and key[:20] == DEFAULT_API_KEY[:20])
# fmt: on
