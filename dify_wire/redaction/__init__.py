"""Takes secrets out of whatever is written or shown: recordings, journal, access log, reports,
differences.

- ``exchange``: a recorded exchange, with pseudonyms; ``text``: a log, a journal or a report, with
  one mark for all, and the search for what a text gives away, and where else it stands;
- ``fields``, ``rules``: where secrets are named;
- ``needles``: finds many of them at once; ``views``: in every encoding; ``replacement``: what
  replaces them, in place;
- ``suspicion``: what looks personal or secret, and no rule has taken out.
"""
