"""The fake as a process: its socket, its protocols, its log and its end."""
