"""``docs/upgrades``: a page for each pair of neighbouring versions, made of their recordings."""
