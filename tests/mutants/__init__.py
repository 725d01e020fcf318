"""The mutation test of the contract suite: a host broken in one way each, and the check that must
say so.
"""
