"""Trouble on demand, proven from the rules to what a client sees."""
