"""What was received and answered: kept raw while requests are served, read and judged when somebody
asks.

entry      one request and its answer as they came, and how far they have got
ring       the newest of them, bounded in number and bytes; wakes whoever waits for one
reading    entries as JSON: redacted, decoded, timed
redact     no key, signature or nonce leaves the journal
warnings   what the host let pass and the document forbids
matching   which entries a description fits, and what tells the nearest from it
searching  counting and awaiting entries that match
"""

from fake_server.journal.entry import Entry
from fake_server.journal.ring import Journal

__all__ = ["Entry", "Journal"]
