"""Requests to run an app: for the banner and the front page, and as programs in five languages."""
