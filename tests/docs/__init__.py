"""The documentation says what is true: every code block of every page is run or checked.

An HTML comment on the line before a block says how:

===========================  ======================================================================
``<!-- serve -->``           a command that starts ``fake-server serve`` or ``record``; it goes on
                             for the blocks below, on a free port in place of 6060 or 6061
``<!-- stop -->``            ends these servers; stands alone
``<!-- run -->``             runs: sh, console, python, js, go or java; must end with exit code 0,
                             ``<!-- run: exit 1 -->`` with another
``<!-- output -->``          what the block that ran last has printed; ``…`` stands for anything;
                             ``<!-- output: numbers vary -->``: other numbers will do
``<!-- file: NAME -->``      is written to NAME
``<!-- pytest -->``          a file of tests that pass; ``<!-- pytest: fails -->``: one does not
``<!-- check: yaml -->``     can be parsed; also toml, json; ``<!-- check: yaml SCHEMA -->`` is
                             valid by a schema of check-jsonschema, as ``github-workflows``
``<!-- npm -->``             an ``npm install``; links what ``make npm`` has installed
``<!-- not run: REASON -->`` cannot be run here
===========================  ======================================================================

The blocks of a page run in order, in one folder that is empty at first.
"""
