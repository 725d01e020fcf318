"""Takes secrets out of whatever is written or shown: recordings, journal, access log, reports,
differences.

- ``exchange``: a recorded exchange, with pseudonyms; ``text``: a log, a journal or a report, with
  one mark for all;
- ``search``: what an exchange gives away, and where else it stands;
- ``fields``, ``headers``, ``rules``: where secrets are named;
- ``needles``: finds many of them at once; ``views``: in every encoding; ``edits``: and replaces
  them in place;
- ``suspicion``: what looks personal or secret, and no rule has taken out.
"""
