"""Random requests against a running server, and a judge that knows every answer the host may give.

    strategies    requests of our own making: nearly right ones, broken ones, odd transports
    schema_cases  requests that schemathesis makes from the spec, right and wrong ones
    message       a request read back from its bytes
    expectation   what the host would do with it: the proxy, Flask's routing, an operation
    run_rules     what of a JSON body it would refuse
    judge         whether an answer is one that spec and overlay allow there
    stream        the same for the frames of a stream
    session       sending, counting, minimising
    watch         the server's log and its memory

    files           mutated files of users, given to the commands that read them: a campaign of its
    own file_mutations  how a file is mutated

Nothing but ``files`` imports ``fake_server``: the judge knows the spec, the overlay and the
libraries of the host itself (Werkzeug routes and reads forms, as on the host), so that a mistake of
the fake is not made twice.

``python -m tests.fuzz --help`` runs it.
"""
