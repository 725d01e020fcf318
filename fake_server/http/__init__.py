"""Between the socket and the operations: what nginx, gunicorn and Flask do around the host's own
code.
"""
