"""
State, not history: one read of the rows' present state a publication, every version from that read.

- The row is there: its state, once, however many times it changed.
- The row is gone: its delete, from what the outbox kept of it, under each key; unless another row has that key.
- The row is there but `when=` leaves it out: a retraction.
- The row has another key by now, of another lane: the intent moves to that lane, whose relay alone may send the row.
- An old key was given up (a retraction, or a delete whose row came back under another key): a delete of the old key,
  unless another row has that key by now.
- The key of what is to be deleted has a new owner: nothing, unless the delete is looked up by what is not the owner's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connections, models
from rest_framework.renderers import JSONRenderer

from logpipe_signals.backend.base import Message
from logpipe_signals.keys import lane_of, pk_decoder, pk_text
from logpipe_signals.models.expressions import with_pks
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import reading, showing
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.lanes import all_lanes
from logpipe_signals.publishing.messages import Batch, MessageMaker, Outgoing
from logpipe_signals.publishing.reading import ERROR_MEMBER, version_label
from logpipe_signals.publishing.representing import Represent, representing
from logpipe_signals.publishing.wire import Wire
from logpipe_signals.registry import Publication, SerializerClass

SERIALISE_CHUNK = 250
Data = tuple[Any, ...]
UPSERT = Operation.UPSERT.value
"""A plain text: comparing with the enumeration's member costs several times as much."""


class _Row(NamedTuple):
    """One row's intents, with what was read of it."""

    pk: Any
    intents: list[ClaimedRow]
    state: models.Model | None
    data: Data | Exception | None
    """The data of each version; or what serialising raised."""
    wanted: bool
    """Whether `when=` lets it be published."""

    def has_but_upserts_of(self, key: str) -> bool:
        """Tell whether nothing happened to the row but changes, under the key that it has now: the usual case."""
        for intent in self.intents:  # noqa: SIM110  (asked of each row: a generator would cost twice as much)
            if intent.operation != UPSERT or intent.key != key:
                return False
        return True

    def of(self, *operations: Operation) -> list[ClaimedRow]:
        return [intent for intent in self.intents if intent.operation in operations]

    def by_key(self, key: str) -> tuple[list[ClaimedRow], list[ClaimedRow]]:
        """Return the intents that the row's state under this key answers, and those that gave up a key."""
        deletes = self.of(Operation.DELETE)
        current = sorted([*self.of(Operation.UPSERT), *(intent for intent in deletes if intent.key == key)])
        return current, [*self.of(Operation.RETRACT), *(intent for intent in deletes if intent.key != key)]


class StateBatch:
    """The claimed rows of one publication."""

    def __init__(self, publication: Publication, using: str, wire: Wire) -> None:
        self.publication = publication
        self.using = using
        self.make = MessageMaker(publication, using, wire)
        self._owned: frozenset[str] = frozenset()
        self._owners: dict[str, dict[str, Any]] = {}
        """What a delete of each key's new owner would hold, where that tells more than the key."""

    def prepare(self, intents: Sequence[ClaimedRow], batch: Batch, progressed: Callable[[], None]) -> None:
        """Read, serialise and decide; what comes of it goes into the batch."""
        intents = self._without_names_of_others(intents, batch)
        by_pk = self._by_primary_key(intents, batch)
        states = self._read(by_pk)
        wanted = self._wanted(states)
        data = self._serialise(list(states.values()), progressed)
        self._find_owners(intents)
        for pk, own in by_pk.items():
            self._decide(_Row(pk, own, states.get(pk), data.get(pk), pk in wanted), batch)
        # A row and what was prefetched for it hold each other, which the garbage collector would find out late.
        for instance in states.values():
            instance.__dict__.pop("_prefetched_objects_cache", None)

    def _without_names_of_others(self, intents: Sequence[ClaimedRow], batch: Batch) -> Sequence[ClaimedRow]:
        """Enqueue the rows that show what was changed; they are claimed like all others, and so read after this."""
        naming = [intent for intent in intents if showing.names_others(intent)]
        if naming:
            showing.enqueue(self.publication, self.using, [intent.payload for intent in naming])
            batch.needless += naming
            batch.enqueued = True
        return [intent for intent in intents if not showing.names_others(intent)] if naming else intents

    # --- reading ------------------------------------------------------------------------------------------------

    def _by_primary_key(self, intents: Sequence[ClaimedRow], batch: Batch) -> dict[Any, list[ClaimedRow]]:
        found: dict[Any, list[ClaimedRow]] = {}
        decode = pk_decoder(self.publication.model, self.using)
        for intent in intents:
            try:
                pk = decode(intent.object_id)
            except Exception as error:  # noqa: BLE001  (a field of the project may raise anything)
                batch.outgoing.append(self.make.failed(intent.object_id, [intent], error))
            else:
                found.setdefault(pk, []).append(intent)
        return found

    def _read(self, by_pk: Mapping[Any, Sequence[ClaimedRow]]) -> dict[Any, models.Model]:
        """Read from the database that was written, past any router, default manager or replica."""
        options = self.publication.options
        texts = [intents[0].object_id for intents in by_pk.values()]
        vendor = connections[self.using].vendor
        queryset = self._rows().filter(with_pks(self.publication.model, texts, list(by_pk), vendor))
        if options.select_related:
            queryset = queryset.select_related(*options.select_related)
        if options.prefetch_related:
            queryset = queryset.prefetch_related(*options.prefetch_related)
        return {instance.pk: instance for instance in queryset}

    def _wanted(self, states: Mapping[Any, models.Model]) -> frozenset[Any]:
        """Return the primary keys that `when=` lets through; a Q is asked of the database, a callable of each row."""
        when = self.publication.options.when
        if when is None or not states:
            return frozenset(states)
        if isinstance(when, models.Q):
            return frozenset(self._rows().filter(pk__in=list(states)).filter(when).values_list("pk", flat=True))
        return frozenset(pk for pk, instance in states.items() if when(instance))

    def _find_owners(self, intents: Sequence[ClaimedRow]) -> None:
        """Find which of the keys that were given up belong to a row again, and what a delete of that one would hold."""
        given_up = {intent.key for intent in intents if intent.operation != Operation.UPSERT}
        column = self.publication.key_column
        if not given_up or column is None or column.primary_key:
            return
        values = {key: value for key in given_up if (value := _column_value(column, key)) is not None}
        owners = self._rows().filter(**{f"{column.name}__in": list(values.values())})
        found = {_comparable(value) for value in owners.values_list(column.name, flat=True)}
        # By value: the serializer's text of it may be another than Python's.
        self._owned = frozenset(key for key, value in values.items() if _comparable(value) in found)
        if self._owned and column.unique and self._is_looked_up_by_others():
            payloads = {_comparable(getattr(row, column.attname)): self._lookups_of(row) for row in self._shown(owners)}
            self._owners = {
                key: payloads[value] for key in self._owned if (value := _comparable(values[key])) in payloads
            }

    def _is_looked_up_by_others(self) -> bool:
        """Tell whether consumers find a row by other fields than its key."""
        key_field = self.publication.key_field
        return self.publication.key_provider is not None or (
            key_field is not None and key_field not in self.publication.lookup_fields
        )

    def _lookups_of(self, row: models.Model) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(reading.delete_payload(self.publication, row))
        return found

    def _shown(self, rows: models.QuerySet[models.Model]) -> models.QuerySet[models.Model]:
        relations = self.publication.options.select_related
        return rows.select_related(*relations) if relations else rows

    def _rows(self) -> models.QuerySet[models.Model]:
        return self.publication.model._base_manager.using(self.using)

    # --- serialising --------------------------------------------------------------------------------------------

    def _serialise(
        self, instances: Sequence[models.Model], progressed: Callable[[], None]
    ) -> dict[Any, Data | Exception]:
        found: dict[Any, Data | Exception] = {}
        held = list(instances)
        versions = self._versions(held)
        for start in range(0, len(instances), SERIALISE_CHUNK):
            found.update(self._serialise_chunk(instances[start : start + SERIALISE_CHUNK], versions))
            progressed()
        # A serializer and its fields hold each other until the garbage collector comes: let them hold no rows.
        held.clear()
        return found

    def _versions(self, instances: list[models.Model]) -> Sequence[Represent]:
        """Return what represents the rows in each version; nothing when a serializer cannot even be made."""
        try:
            return [representing(cls, instances) for cls in self.publication.serializer_classes]
        except Exception:  # noqa: BLE001  (each row alone says what it is)
            return []

    def _serialise_chunk(
        self, chunk: Sequence[models.Model], versions: Sequence[Represent]
    ) -> dict[Any, Data | Exception]:
        try:
            data = [represent(chunk) for represent in versions]
            return dict(zip((i.pk for i in chunk), zip(*data, strict=True), strict=True))
        except Exception:  # noqa: BLE001  (one bad row must not hold back the others: each alone)
            return {instance.pk: _alone(self.publication.serializer_classes, instance) for instance in chunk}

    # --- deciding -----------------------------------------------------------------------------------------------

    def _decide(self, row: _Row, batch: Batch) -> None:
        if row.state is None:
            self._gone(row, batch)
        elif isinstance(row.data, tuple):
            self._there(row, row.state, row.data, batch)
        else:
            self._not_serialised(row, row.state, row.data or RuntimeError("The row was not serialised."), batch)

    def _not_serialised(self, row: _Row, state: models.Model, error: Exception, batch: Batch) -> None:
        """Set the state aside; keys are taken back all the same, where the row still tells its own key and lookup."""
        key, present = reading.key_of(self.publication, state), self._lookups_of(state)
        if not key or ERROR_MEMBER in present:
            batch.outgoing += self.make.failures(row.pk, row.intents, error)
            return
        current, given_up = row.by_key(key)
        if current:
            batch.outgoing.append(self.make.failed(row.pk, current, error))
        self._take_back(row.pk, given_up, key, present, batch)

    def _gone(self, row: _Row, batch: Batch) -> None:
        # Its delete tells all, from this claim or from another one.
        batch.needless += row.of(Operation.UPSERT)
        deletes: dict[str, list[ClaimedRow]] = {}
        for intent in row.of(Operation.DELETE):
            deletes.setdefault(intent.key, []).append(intent)
        for key, intents in deletes.items():
            if self._has_new_owner(key) and self._would_hit_owner(intents[-1]):
                batch.needless += intents
            else:
                batch.outgoing.append(self._kept(row.pk, intents, intents[-1]))
        self._give_up(row.pk, row.of(Operation.RETRACT), None, batch)

    def _has_new_owner(self, key: str) -> bool:
        """Tell whether another row has a key that one row at a time can have: its message is newer than a delete."""
        column = self.publication.key_column
        return column is not None and column.unique and key in self._owned

    def _would_hit_owner(self, intent: ClaimedRow) -> bool:
        """Tell whether what takes back an owned key would take it from its owner, or might."""
        owner = self._owners.get(intent.key)
        is_by_key = self.publication.options.delete == "tombstone"
        if is_by_key or owner is None or ERROR_MEMBER in owner or not intent.payload:
            return True
        return any(owner.get(label) == lookup for label, lookup in json.loads(intent.payload).items())

    def _there(self, row: _Row, state: models.Model, data: Data, batch: Batch) -> None:
        key = self._key(row.pk, state, data)
        if row.wanted and row.has_but_upserts_of(key):
            self._send(row, state, data, key, row.intents, batch)
            return
        current, given_up = row.by_key(key)
        here = self._in_this_lane(current, key, batch)
        if here and row.wanted:
            self._send(row, state, data, key, here, batch)
        elif here:
            batch.outgoing.append(self.make.sent(row.pk, here, key, self._retractions(row.pk, key, data)))
        if given_up:
            self._take_back(row.pk, given_up, key, self._present(data), batch)

    def _take_back(
        self, pk: Any, given_up: Sequence[ClaimedRow], key: str, present: Mapping[str, Any], batch: Batch
    ) -> None:
        """Take back the keys of a row that is there, under this key."""
        still_there = self._found_as_before(given_up, present)
        batch.needless += still_there
        self._give_up(pk, [intent for intent in given_up if intent not in still_there], key, batch)

    def _present(self, data: Data) -> dict[str, Any]:
        """Return by what each version of a row is looked up now."""
        now = [{name: member[name] for name in self.publication.lookup_fields if name in member} for member in data]
        labels = map(version_label, self.publication.serializer_classes)
        present: dict[str, Any] = json.loads(JSONRenderer().render(dict(zip(labels, now, strict=True))))
        return present

    def _found_as_before(self, intents: Sequence[ClaimedRow], present: Mapping[str, Any]) -> list[ClaimedRow]:
        """
        Return the intents whose delete would find the row as it is now: it has another key, but is looked up by others.

        An order keyed by its customer, say, that moves to another customer: to delete it by its number would delete it.
        """
        if not self._is_looked_up_by_others():
            return []
        return [intent for intent in intents if intent.payload and json.loads(intent.payload) == present]

    def _send(
        self, row: _Row, state: models.Model, data: Data, key: str, intents: list[ClaimedRow], batch: Batch
    ) -> None:
        try:
            extra = self._headers(state, intents[-1])
        except Exception as error:  # noqa: BLE001  (a header provider may raise anything)
            batch.outgoing.append(self.make.failed(row.pk, intents, error))
        else:
            batch.outgoing.append(self.make.upserted(row.pk, intents, key, data, extra))

    def _in_this_lane(self, intents: list[ClaimedRow], key: str, batch: Batch) -> list[ClaimedRow]:
        elsewhere = [intent for intent in intents if intent.key != key]
        if not elsewhere:
            return intents
        lane = lane_of(self.publication.topic, key, len(all_lanes(self.using)))
        batch.moved += [(intent, key, lane) for intent in elsewhere if intent.lane != lane]
        return [intent for intent in intents if intent.key == key or intent.lane == lane]

    def _give_up(self, pk: Any, intents: Sequence[ClaimedRow], key: str | None, batch: Batch) -> None:
        """Take keys back. The delete of a row that is there again, under another key, is a retraction of its own."""
        for intent in intents:
            if intent.key == key or (intent.key in self._owned and self._would_hit_owner(intent)):
                batch.needless.append(intent)
            else:
                batch.outgoing.append(self._kept(pk, [intent], intent._replace(operation=Operation.RETRACT.value)))

    # --- messages -----------------------------------------------------------------------------------------------

    def _kept(self, pk: Any, intents: Sequence[ClaimedRow], last: ClaimedRow) -> Outgoing:
        kept = self.make.kept(pk, last, tombstone=not self._has_new_owner(last.key))
        return self.make.sent(pk, intents, last.key, kept)

    def _retractions(self, pk: Any, key: str, data: Data) -> Iterator[Message]:
        for serializer_class, member in zip(self.publication.serializer_classes, data, strict=True):
            lookup = {name: member[name] for name in self.publication.lookup_fields if name in member}
            yield self.make.version(serializer_class, pk, key, lookup, Operation.RETRACT, {})

    def _headers(self, state: models.Model, last: ClaimedRow) -> Mapping[str, str]:
        headers = self.publication.headers
        if headers is None:
            return last.headers or {}
        return {**(last.headers or {}), **(headers(state) if callable(headers) else headers)}

    def _key(self, pk: Any, state: models.Model, data: Data) -> str:
        if self.publication.key_provider is not None:
            return str(self.publication.key_provider(state))
        key_field = self.publication.key_field
        return str(data[0][key_field]) if key_field else pk_text(self.publication.model, pk)


def _alone(classes: Sequence[SerializerClass], instance: models.Model) -> Data | Exception:
    try:
        return tuple(cls(instance).data for cls in classes)
    except Exception as error:  # noqa: BLE001  (a serializer of the project may raise anything)
        return error


def _column_value(column: models.Field[Any, Any], key: str) -> Any:
    try:
        return column.to_python(key)
    except Exception:  # noqa: BLE001  (a key that is no value of the column has no owner)
        return None


def _comparable(value: Any) -> Any:
    """Return what is equal for equal values of a column; some types cannot be members of a set."""
    return value if isinstance(value, Decimal) else str(value)
