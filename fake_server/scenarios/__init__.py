"""Trouble on demand: rules that match a request, and the named behaviours that they bring upon it.

    behaviours/   every behaviour, one file for each stage at which it acts; ``catalogue`` has them
    all by name parameters    what a behaviour can be told, read from a header, a file or a call
    effects       what the behaviours of one request do to it, by stage rules         a rule: which
    requests a behaviour befalls, and how often book          all rules of a server, and what they
    bring upon a request header, load  the two ways to write rules down

A request that names no scenario, to a server without rules, passes all of this by
(``operations.befallen``).
"""

from fake_server.scenarios.conditions import Asked
from fake_server.scenarios.effects import NO_EFFECTS, Effects
from fake_server.scenarios.errors import ScenarioError
from fake_server.scenarios.rule_book import Match, RuleBook
from fake_server.scenarios.rules import Rule

__all__ = ["NO_EFFECTS", "Asked", "Effects", "Match", "Rule", "RuleBook", "ScenarioError"]
