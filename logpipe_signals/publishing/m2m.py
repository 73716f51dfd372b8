"""
Many-to-many links: added, removed, set or cleared, from either side, they publish the rows that show them.

Django sends m2m_changed in the transaction of the change. It is received for the tables of shown relations only: a
receiver for all of them would cost every project its fast adds.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, models
from django.db.models.signals import m2m_changed

from logpipe_signals.publishing import plans, setwise, showing
from logpipe_signals.publishing.related import Link
from logpipe_signals.publishing.suspend import opted_out, publishable
from logpipe_signals.publishing.transactions import atomic_once

DONE = ("post_add", "post_remove", "post_clear")


def connect() -> None:
    """Receive the changes of every link that a publication shows; doing it again adds what is new."""
    for through in plans.links():
        m2m_changed.connect(_changed, sender=through, dispatch_uid=f"logpipe_signals.m2m.{through._meta.label}")


def _changed(
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    if opted_out(instance):
        return
    for link in plans.links().get(sender, ()):
        if publishable([link.publication]):
            near = link.reverse == reverse
            _publish(link, instance, action, pk_set, near=near, using=using)


def _publish(
    link: Link, instance: models.Model, action: str, pk_set: set[Any] | None, *, near: bool, using: str
) -> None:
    """Publish what shows the link; `near`: the instance is on the near side, and the links' others are in pk_set."""
    with atomic_once(using):
        if near and action in DONE and (pk_set or action == "post_clear"):
            _publish_holders(link, [instance.pk], using)
        if near and not link.symmetrical:
            return
        if action == "pre_clear":
            _keep_links_away(instance, using)
            _publish_holders(link, _linked_to(link, instance, using), using)
        elif action in DONE and pk_set:
            _publish_holders(link, sorted(pk_set), using)


def _keep_links_away(instance: models.Model, using: str) -> None:
    """Let no other session link to the row now: the link would be cleared by who did not see it."""
    if connections[using].features.has_select_for_update:
        rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
        rows.select_for_update().values_list("pk", flat=True).first()


def _linked_to(link: Link, instance: models.Model, using: str) -> list[Any]:
    """Return the rows on the near side that are linked to one on the far side."""
    name = link.far.rpartition("__")[2]
    rows = link.near._base_manager.using(using).filter(**{name: instance.pk})
    return list(rows.order_by("pk").values_list("pk", flat=True).distinct())


def _publish_holders(link: Link, pks: list[Any], using: str) -> None:
    if not pks:
        return
    if link.holder == "pk":
        setwise.publish(link.publication, using, pk__in=pks)
    else:
        showing.publish(link.publication, using, link.near, link.holder, pks)
