"""A proxy that keeps what passes: a client's own traffic with a host, as recordings
(``docs/recordings.md``).

proxy          one request to the upstream, and its answer back, chunk by chunk as it comes
upstream       the connections to the one host that is ever asked
open_exchange  what passes, noted with its time and handed over to be written
image_urls     the signed URLs in what passes
pictures       the picture behind each signed URL, fetched before the URL expires
writing_queue  the way to the process that writes: what waits for it, and what it says in the end
writing        that process: it redacts and writes, so that neither ever holds up a stream
labels         which app a key belongs to
"""
