"""
Who shows a changed row: found by the relay, after the change was committed.

A shelf is renamed while another transaction puts a book on it. Neither sees the other: the book may leave with the old
name, and who looked for the shelf's books inside the first transaction missed it. So the outbox says "those that show
shelf 3", and once that is committed the relay looks them up and enqueues them, their keys copied by the database. It
finds every book whose change is committed by then, and a later one reads the new name itself. The change costs one row
of the outbox, however many rows show it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import models

from logpipe_signals.keys import database_text, decode_pk, pk_fields
from logpipe_signals.models.outbox import Operation
from logpipe_signals.publishing import before, outbox, setwise, wake
from logpipe_signals.publishing.claimed import ClaimedRow
from logpipe_signals.publishing.messages import asks_for_versions
from logpipe_signals.registry import Publication

Model = type[models.Model]


def publish(publication: Publication, using: str, model: Model, lookup: str, pks: Sequence[Any]) -> None:
    """
    Publish the rows that a lookup to these rows of a model finds once this transaction is committed.

    Where each change is its own message there is nothing to wait for: the message is made now.
    """
    if not pks:
        return
    if publication.options.payload != "state":
        setwise.publish(publication, using, **{f"{lookup}__in": list(pks)})
        return
    texts = [_text(model, pk, using) for pk in pks]
    chunks = (texts[start : start + before.ROWS_A_READ] for start in range(0, len(texts), before.ROWS_A_READ))
    outbox.write(using, [_intent(publication, model, lookup, chunk) for chunk in chunks])
    wake.schedule(using, range(outbox.lane_count(using)))  # Any lane may have those that show them.


def names_others(row: ClaimedRow) -> bool:
    """Tell whether an outbox row of a state says by what its rows are found, instead of which one it is."""
    return row.payload is not None and row.operation == Operation.UPSERT and not asks_for_versions(row)


def enqueue(publication: Publication, using: str, payloads: Iterable[bytes | None]) -> None:
    """Look up who shows the rows that outbox rows name, and publish them."""
    named: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for payload in payloads:
        told = json.loads(payload or b"{}")
        named[told["lookup"], told["model"]] |= dict.fromkeys(told["pks"])
    for (lookup, label), texts in named.items():
        model = apps.get_model(label)
        pks = [decode_pk(model, text, using) for text in texts]
        with wake.relaying():
            setwise.publish(publication, using, **{f"{lookup}__in": pks})


def named_by(told: Mapping[str, Any], rows: models.QuerySet[Any], using: str) -> models.QuerySet[Any]:
    """Return those of some rows that an outbox row's payload names."""
    model = apps.get_model(told["model"])
    pks = [decode_pk(model, text, using) for text in told["pks"]]
    return rows.filter(**{f"{told['lookup']}__in": pks})


def _intent(publication: Publication, model: Model, lookup: str, texts: Sequence[str]) -> outbox.Intent:
    told = {"lookup": lookup, "model": model._meta.label, "pks": texts}
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    object_id = f"{lookup}={texts[0]}{more}"
    payload = json.dumps(told, ensure_ascii=False).encode()
    return outbox.Intent(publication=publication, object_id=object_id, key="", payload=payload)


def _text(model: Model, pk: Any, using: str) -> str:
    fields = pk_fields(model)
    if len(fields) == 1:
        return database_text(fields[0], pk, using)
    return json.dumps([database_text(f, part, using) for f, part in zip(fields, pk, strict=True)], ensure_ascii=False)
