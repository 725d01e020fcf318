"""What was received and sent: stored raw while requests are served, decoded and checked when it is
read.

exchanges  the newest requests with their responses as they came; totals that the metrics show
matching   which entries fit a description; waiting for them; the nearest one
reading    entries as JSON: redacted, decoded, timed, with warnings
"""

from fake_server.journal.exchanges import Entry, Journal

__all__ = ["Entry", "Journal"]
