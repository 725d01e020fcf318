"""Random requests against a running server, and a checker that knows every response the host may
give.

    strategies    requests of our own making: nearly right ones, broken ones, odd transports
    schema_cases  requests that schemathesis makes from the spec, right and wrong ones
    message       a request read back from its bytes
    expectation   what the host does with it: the proxy, Flask's routing, an operation
    run_rules     what of a JSON body it refuses
    checker       whether a response is one that spec and overlay allow there
    stream        the same for the frames of a stream
    session       sending, counting, minimising
    watch         the server's log and its memory

    files           mutated files of users, given to the commands that read them
    file_mutations  how a file is mutated

Only ``files`` imports ``fake_server``: the checker knows the spec, the overlay and the libraries of
the host itself (Werkzeug routes and reads forms, as on the host), so that a mistake of the fake is
not made twice.

``python -m tests.fuzz --help`` runs it.
"""
