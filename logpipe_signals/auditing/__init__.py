"""
What both sides of an audit agree on: how a value becomes a token, and what the marks on the topic look like.

An audit puts *marks* on the topic, messages of type `<type>.audit` that every other consumer passes over. A mark stands
in the partition of the rows it is about, behind every message of theirs that was sent before it, and tells of each row
a token a field. The subscriber compares them with its own rows where it meets the mark.

What is compared is the publisher's message, field by field, with what the subscriber's serializer shows of its row: see
`tokens` for when two values are the same, and `consuming.audits` for which fields.
"""
