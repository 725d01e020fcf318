"""What befalls a request: its scenarios are found here, and those that answer in the host's place
do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fake_server.endpoints.call import Call
from fake_server.http.responses import SCENARIO_HEADER, Answer, ProxyPage, json_answer
from fake_server.http.scope import NOTES, SCENARIOS
from fake_server.scenarios import ScenarioError
from fake_server.scenarios.behaviour import RUN
from fake_server.scenarios.conditions import asked_of

_Answering = Callable[[Call], Answer | ProxyPage | None]


def is_spared(call: Call) -> bool:
    """Whether nothing can befall this request: no rule is there and its header names none."""
    return call.host.scenarios.empty and SCENARIO_HEADER not in call.request_headers


async def befall(call: Call) -> Answer | ProxyPage | None:
    """Give ``call`` the effects of its scenarios; the answer where one of them answers before the
    host looks at it.
    """
    scenarios, operation = call.host.scenarios, call.operation.operation_id
    body = {} if scenarios.empty or operation != RUN else await call.json_if_any()
    asked = asked_of(operation, call.request_headers, body)
    try:
        match = scenarios.match(asked, call.request_headers.get(SCENARIO_HEADER))
    except ScenarioError as error:
        return _fake_speaking(error)
    if match is None:
        return None
    call.effects = match.effects
    call.scope[SCENARIOS] = match.names
    if call.host.settings.speed is None and match.effects.unwaited:
        call.scope[NOTES] = match.effects.unwaited
    effects = (
        call.effects.front if operation == RUN else (*call.effects.front, *call.effects.answer)
    )
    return _first(effects, call)


def answered_instead(call: Call) -> Answer | ProxyPage | None:
    """The answer of a scenario to a run that the host has accepted; None where it is the host's to
    give.
    """
    return _first(call.effects.answer, call)


def _first(answering: Iterable[_Answering], call: Call) -> Answer | ProxyPage | None:
    return next((answer for one in answering if (answer := one(call)) is not None), None)


def _fake_speaking(error: ScenarioError) -> Answer:
    """Nothing that a Dify host would say: whoever misspelt a scenario must not take it for a
    refusal of the host.
    """
    message = (
        f"This is the fake speaking, not Dify. Its header X-Fake-Scenario cannot be used: {error}"
    )
    return json_answer({"code": "fake_scenario_invalid", "message": message, "status": 400}, 400)
