"""The topologies that the docs describe, run for real on loopback."""
