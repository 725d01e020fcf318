"""Measurements of what the fake costs, each a module to run."""
