"""
The shape of messages as JSON Schema: what is sent and what is accepted, per topic, type and version.

    spectacular    DRF serializers, by drf-spectacular: the only module that knows it
    shapes         the shape of any serializer, DRF's or Pydantic's, in one plain dialect of JSON Schema
    containment    whether all that one schema allows is allowed by another
    compatibility  what changed between two shapes, and whom it breaks: BACKWARD, FORWARD, FULL, NONE
    contract       what this project sends and accepts, by topic, type and version
    lock           the contract as a file under version control
    judging        the code against its own lock; a consumer against its publisher's
    asyncapi, documents    the contract in other tools' words
    validation     messages held to their schema while they are sent and received

It needs the extra `logpipe_signals[schema]`; nothing here is imported before somebody asks for it.
"""
