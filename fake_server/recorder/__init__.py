"""A proxy that records the traffic of a client with a host (``docs/recordings.md``).

proxy     a request, or a miss of a replay, to the upstream and its response back, chunk by chunk
upstream  the connections to the one host that is ever contacted
writing   bodies are spooled by a thread; a process of its own redacts and writes exchanges
images    the image behind each signed URL in a response, fetched before the URL expires
settings  what the command line sets, and which app a key belongs to
"""
