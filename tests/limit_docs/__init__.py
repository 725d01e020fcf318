"""``docs/limits.md``, made of the constants that bound something and of their docstrings."""
