"""Recordings of a host: their files, how requests are matched to them, HTTP Archives."""
