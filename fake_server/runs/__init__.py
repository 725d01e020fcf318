"""A workflow run: its request, its timeline of events, and that timeline played and rendered."""
