"""
The consuming half: records become rows, each once.

    feed         one client for all topics: polls, holds back what is too young, reads again from the stored position
    routing      bytes -> Incoming: which serializer, which message, which row it is about
    positions    where the group stands; moves by compare-and-set
    apply        one partition's batch in one transaction: position first, then rows; record by record if that fails
    bulk         the same for a type, set-wise
    staleness    a record older than what was applied for its identity is dropped
    dead_letters what could not be applied, superseded or replayed later
    loop         poll, apply, again, until told to stop
    consumer     the public faces: Consumer, MultiConsumer
"""
