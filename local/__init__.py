"""The embedded stack: real servers on 127.0.0.1, started without root and without containers.

Belongs here: declaring, starting and stopping servers, and the few servers we wrote ourselves.
Does not: anything a pipeline needs in production. Nothing imports this package but tests,
benchmarks and the demonstration.
"""
