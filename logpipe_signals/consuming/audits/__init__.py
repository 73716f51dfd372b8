"""
Audits, the subscriber's half: its rows are compared with the publisher's marks, where it meets them on the topic.

    mark of a range     compared in the transaction that moves the position over it: what stood before it is applied
    last marks          of each partition: they tell how many marks there have to be, so that none is missed unseen
    report              what differs, and whether everything arrived; looks for extra rows the first time

Which fields are compared
    Those that the subscriber's serializer both writes and shows: not read_only, not write_only, and none that the
    message does not have. Of a nested object, the members that it shows. `AUDIT_FIELDS = ["name", "country"]` on the
    serializer names them instead, for instance without one that its `validate()` changes. When two values are the same
    is in `logpipe_signals.auditing.tokens`.

Which rows
    Found by the columns that `lookup_instance` takes, set-wise; what is not found so is asked of `lookup_instance`
    itself. Rows that no mark told of, in any round, are extra: of `audit_queryset()`, a classmethod of the serializer
    that returns the rows that come from this topic; by default, all of its model.

What is no drift
    A row whose change is in the publisher's outbox still, or of which a message was applied behind a first mark of the
    round: by its key, or in another partition by its identity (see `touched`).
"""
