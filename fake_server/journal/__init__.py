"""What was received and sent: stored raw while requests are served, decoded and checked when it is
read.

entry     one request and its response as they came, and their state
ring      the newest of them, bounded in number and bytes; wakes whoever waits for one
counters  totals that the metrics show
reading   entries as JSON: redacted, decoded, timed
warnings  what the host accepts and the document forbids
matching  which entries fit a description; waiting for them; the nearest one
"""

from fake_server.journal.entry import Entry
from fake_server.journal.ring import Journal

__all__ = ["Entry", "Journal"]
