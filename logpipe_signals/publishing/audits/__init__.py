"""
Audits, the publisher's half: every row of a publication is read and told of on the topic, and drift is mended.

    sent = AuditRun(target, AuditOptions()).run()      # marks on the topic; the subscriber finds out
    repair(target, findings)                           # what it found, back into the outbox

Marks and data
    A mark stands in the partition of its rows: the log says where a key goes (`Producer.layout`), rows are gathered by
    partition, and where a mark arrived is checked. Where the log does not say, a mark has the key of its rows. So who
    reads a mark has read every message of its rows that was sent before, whoever owns the partition by then:
    rebalances, several hosts, shards need no further thought. New partitions, or a resharding, in mid-audit end it with
    an error.

Rows in the outbox
    Marks do not wait for the outbox, they say which rows have something in it: see `reading`. A round begins with a
    mark in every partition. A row that differs and is under way, or of which a message was applied behind a first mark,
    by its key or, in whatever partition, by its identity, is not judged in that round. Where the log hides its
    partitions, a higher sequence stands for such a message.

Two rounds
    Between the projects there may be the topic alone, so the subscriber cannot ask. Each row is therefore told of
    twice; drift is what differs in the last round and is not under way. What is under way at every look stays
    `unsettled`, which the report says. A mark of 500 rows has 20 to 100 KB; what an audit costs is in the docs.
"""
