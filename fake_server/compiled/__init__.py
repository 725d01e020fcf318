"""Runs that are compiled by running them: the engine and the renderer run once with marked values,
and what they send becomes a form, which later runs only fill in.

Nothing here knows what a run does. What cannot be marked, or depends on a value otherwise than by
holding it, takes the ordinary path.
"""
