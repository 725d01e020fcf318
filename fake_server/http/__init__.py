"""What nginx, gunicorn and Flask do around the host's own code."""
