"""Faults on demand: rules that match a request, and named behaviours that act on it.

behaviours/  every behaviour, one file for each stage at which it acts
parameters   the parameters of a behaviour, as a header, a file or a call gives them; the header
effects      what the behaviours of one request do to it, by stage
conditions   which requests a rule matches
rules        a rule, the rule book of a server, and the file of --scenarios
describe     the documentation of behaviours
"""
