"""
The speed figures: `python -m benchmarks` measures them on a real Kafka and PostgreSQL and prints them as a table.

Every figure is a ratio between two sides that ran in turns in one run, or a number that does not depend on the machine
(statements, megabytes), or a bound on time. What the other side is:

    django-logpipe 1.6     in an environment of its own (`peer/`), with the same rows and the same serializer
    a hand-written loop    what one would write without either package (`publishing/loop.py`, `consuming/loop.py`)
    ourselves              with another backlog, or without publishing

`--only NAME` measures one of them, `--quick` is for a first look, `--full` takes more rounds.
"""
