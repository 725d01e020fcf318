"""What was received and sent: stored raw while requests are served, decoded and checked when it is
read.

entry      one request with its response, as it came
exchanges  the newest of them; totals that the metrics show; a line in the log for each
matching   which entries fit a description; waiting for them; the nearest one
reading    entries as JSON: redacted, decoded, timed, with warnings
"""

from fake_server.journal.entry import Entry
from fake_server.journal.exchanges import Journal

__all__ = ["Entry", "Journal"]
