"""Faults on demand: rules that match a request, and named behaviours that act on it.

behaviours/  every behaviour, one file for each stage at which it acts
parameters   the parameters of a behaviour, as a header, a file or a call gives them
effects      what the behaviours of one request do to it, by stage
conditions   which requests a rule matches
rules        a rule, and the rule book of a server
rule_file, header   the two ways to write rules down
describe     the documentation of behaviours
"""
