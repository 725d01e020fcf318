"""Keys that a host accepts though they are missing, malformed, another app's, or no app's."""

from __future__ import annotations

from collections.abc import Callable

from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.breaking import Heard, hearing
from tests.mutants.edits import heard_instead
from tests.mutants.mutant import Area
from tests.mutants.serving import APP_KEYS

AREA = Area("keys")


def _lenient(name: str, breaks: str, killers: str, when: Callable[[Heard], bool]) -> None:
    """A host that takes the key of a run request that ``when`` picks for the right one."""
    AREA.add(
        name,
        breaks,
        killers,
        heard_instead(lambda request: request.is_run and when(request), _with_key),
    )


def _key(heard: Heard) -> str:
    return (heard.header("authorization") or "").partition(" ")[2].strip()


def _scheme(heard: Heard) -> str:
    return (heard.header("authorization") or "").partition(" ")[0].lower()


def _with_key(heard: Heard) -> Heard:
    return heard.with_header("authorization", f"Bearer {DEFAULT_API_KEY}")


def _is_unknown(heard: Heard) -> bool:
    return _scheme(heard) == "bearer" and _key(heard) not in (DEFAULT_API_KEY, *APP_KEYS.values())


_lenient(
    "key_missing_accepted",
    "A run needs no key.",
    "run_without_a_key_is_refused",
    lambda heard: heard.header("authorization") is None,
)
_lenient(
    "authorization_empty_accepted",
    "An empty Authorization opens the app.",
    "empty_authorization_is_401",
    lambda heard: heard.header("authorization") == "",
)
_lenient(
    "key_empty_accepted",
    "An empty key opens the app.",
    "bearer_without_key_is_401",
    lambda heard: _scheme(heard) == "bearer" and not _key(heard),
)
_lenient(
    "key_unknown_accepted",
    "Any key opens the app.",
    "run_with_a_wrong_key_is_refused",
    lambda heard: bool(_key(heard)) and _is_unknown(heard),
)
_lenient(
    "key_scheme_accepted",
    "Any scheme will do before the key.",
    "other_scheme_is_401",
    lambda heard: _scheme(heard) not in ("", "bearer") and bool(_key(heard)),
)
_lenient(
    "key_without_scheme_accepted",
    "A key without a scheme opens the app.",
    "key_without_bearer_is_401",
    lambda heard: heard.header("authorization") == DEFAULT_API_KEY,
)
_lenient(
    "key_prefix_accepted",
    "Only the first characters of a key count.",
    "word_after_the_key_is_401 unknown_key_is_401",
    lambda heard: _is_unknown(heard) and _key(heard).startswith(DEFAULT_API_KEY[:8]),
)
_lenient(
    "key_with_more_accepted",
    "What follows the key after a blank is not looked at.",
    "word_after_the_key_is_401",
    lambda heard: _key(heard).startswith(f"{DEFAULT_API_KEY} "),
)
_KEY_KILLERS = {
    "chat": "key_of_a_chat_app_is_400",
    "unpublished": "unpublished_workflow_is_400",
    "disabled": "disabled_app_is_not_found",
    "deleted": "deleted_app_is_not_found",
}
for _kind in APP_KEYS:
    _lenient(
        f"key_of_{_kind}_app_accepted",
        f"The key of a {_kind} app runs the workflow.",
        _KEY_KILLERS[_kind],
        lambda heard, kind=_kind: _key(heard) == APP_KEYS[kind],  # type: ignore[misc]
    )


def _any_key(name: str, breaks: str, is_taken: Callable[[str], bool]) -> None:
    """A key that ``is_taken`` is as good as the right one, wherever it is sent."""

    def change(heard: Heard) -> Heard:
        return _with_key(heard) if _is_unknown(heard) and is_taken(_key(heard)) else heard

    AREA.add(name, breaks, "keys_like_the_right_one_are_refused", hearing(lambda: change))


_any_key(
    "key_any_case_accepted",
    "The case of a key does not matter.",
    lambda key: key.lower() == DEFAULT_API_KEY.lower(),
)
_any_key(
    "key_end_ignored",
    "The last characters of a key do not count.",
    lambda key: " " not in key and key[:20] == DEFAULT_API_KEY[:20],
)
