"""Makes ``docs/scenarios.md`` and the JSON Schema of scenario files (``make docs``).

virtual_time   an event loop whose time jumps to whatever is due next
capture        an exchange with a real server over a socket, with its times
transcript     a capture as text, shortened
examples       what is asked for each behaviour, and what is to be seen in its answer
pages          the whole document
"""
