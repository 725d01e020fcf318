"""One suite of tests for every store: what is true of one replica is true of the others."""
