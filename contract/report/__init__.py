"""Reports of a run, for people and for machines: terminal, JUnit XML, JSON, and one HTML page.

All four read the same ``Report``, in which nothing is secret any more and nothing can harm a
terminal or a parser.
"""
