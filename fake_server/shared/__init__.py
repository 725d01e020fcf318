"""What replicas of one fake share: several workers of one machine, or several machines.

Each replica keeps everything in its own memory, which is what requests read and write. What it
writes also goes into one log, in batches; each replica follows the log and applies what the others
wrote. So no request waits for another process, except those that look for what their own replica
does not know yet, and those that have to be counted once across all.

log      what such a log can do
sqlite   a log in a file, for the workers and restarts of one machine
redis    a log in Redis, for several machines
replica  one replica: writes batches, follows the log, has commands performed everywhere
store    the store of a replica; journal, its journal; runs, its recent runs
"""
