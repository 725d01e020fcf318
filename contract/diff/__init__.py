"""Where two hosts differ: both responses to the same requests, compared in structure.

comparison    the whole comparison, and its result
pairing       a host or a folder of recordings, and their responses in pairs
translation   a recorded request for another host: its keys, files and tasks
response      two responses: status, headers, framing, body or stream, times
values        JSON and text, with ids and times compared by the part they play
difference    what was found, grouped so that one change of a host is one line
drift         earlier results, and since when each difference has been there
"""
