"""Makes the pages of the docs that say what the code says (``make docs``), and with them the types
and the schema that tests and editors read.

made       every generated file by its path, and how it is made
markdown   tables, and parts of pages that are otherwise written by hand (introductions)
settings, checks, errors, versions, recordings, admin, limits, commands, upgrades
           one page or part each
scenarios  docs/scenarios.md with its captures
"""
