"""A small client of the workflow API, for the fake and for a real host."""
