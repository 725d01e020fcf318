"""Reports of runs and comparisons: terminal, JUnit XML, JSON, and one HTML page.

All show the same ``Report`` or ``Comparison``, in which nothing is secret any more and nothing can
harm a terminal or a parser.
"""
