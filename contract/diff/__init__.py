"""Where two hosts differ: the same requests, both answers, compared in structure.

```
sides           a host or a folder of recordings, and answers in pairs
asked_again     the pairs of a folder and a host; recorded_twice those of two folders
translation     a recorded request made fit for another host: its keys, its files, its tasks
raw             requests sent byte for byte
answers         two answers: status, headers, framing, body; tree, stream, style and others have
files of their own difference      what was found, grouped so that one change of a host is one line
```
"""
