"""What a client sees when a host moves from one Dify version to another: both responses to the same
recorded requests, and what the overlays say about them.

pairs         two responses to one request: how they ended, and in what they differ
changes       differences as changes of the host, worst first
evidence      the actions of the overlays between two versions, and which of them a change is
app           what a user's app has of the workflow API, and which changes do not concern it
"""
