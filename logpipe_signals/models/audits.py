"""Audits, as the subscriber keeps them: what arrived of each, and the rows that differ."""

from __future__ import annotations

from django.db import models

from logpipe_signals.models.exact import ExactCharField, ExactTextField


class AuditState(models.TextChoices):
    """How far an audit came on this side."""

    OPEN = "open", "open"
    DONE = "done", "done"


class Audit(models.Model):
    """One audit of a publication, as one group sees it through one serializer. Its counts are those of its ranges."""

    run = models.CharField(max_length=32, help_text="The audit's name, given by the publisher.")
    group = ExactCharField(max_length=200)
    topic = ExactCharField(max_length=255)
    message_type = ExactCharField(max_length=200)
    version = models.IntegerField()
    source = models.CharField(max_length=64)
    rounds = models.SmallIntegerField()
    lookup = models.JSONField(default=list, help_text="The members of the message by which a row is found.")
    fields = models.JSONField(default=list, help_text="The members of the message that are compared.")
    state = models.CharField(max_length=8, choices=AuditState, default=AuditState.OPEN)
    problem = models.TextField(blank=True, default="", help_text="Why something was not compared.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "group", "topic", "message_type", "version"], name="logpipe_audit_run"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run} {self.topic} {self.message_type}/{self.version}"


class AuditRange(models.Model):
    """One mark that arrived. `keys` are the hashes of its rows' keys, 8 bytes each, until the audit is done."""

    audit = models.ForeignKey(Audit, on_delete=models.CASCADE, related_name="ranges")
    round = models.SmallIntegerField()
    number = models.IntegerField()
    partition = ExactCharField(max_length=128)
    sequence = models.BigIntegerField()
    rows = models.IntegerField(default=0)
    keys = models.BinaryField(default=b"")
    begins = models.BooleanField(default=False, help_text="A first mark: behind it stands what was read later.")
    expected = models.JSONField(null=True, help_text="Of a last mark: the number of marks in each partition.")
    deletes = models.BooleanField(default=False, help_text="Of a last mark: extra rows are drift.")
    cancelled = models.BooleanField(default=False)
    problem = models.TextField(blank=True, default="")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audit", "round", "number"], name="logpipe_audit_range")]

    def __str__(self) -> str:
        return f"{self.partition} {self.round}/{self.number}"


class AuditTouch(models.Model):
    """The hashes of the keys of one batch that was applied behind a first mark of an audit that is open."""

    audit = models.ForeignKey(Audit, on_delete=models.CASCADE, related_name="touches")
    round = models.SmallIntegerField()
    partition = ExactCharField(max_length=128)
    keys = models.BinaryField()

    class Meta:
        verbose_name_plural = "audit touches"

    def __str__(self) -> str:
        return f"{self.partition} {self.round}"


class FindingKind(models.TextChoices):
    """What is wrong with a row, as the subscriber sees it."""

    MISSING = "missing", "missing"
    EXTRA = "extra", "extra"
    DIFFERENT = "different", "different"


class FindingState(models.TextChoices):
    """What became of a suspicion."""

    SUSPECTED = "suspected", "suspected"
    UNSETTLED = "unsettled", "unsettled"
    CONFIRMED = "confirmed", "confirmed"


class AuditFinding(models.Model):
    """A row that differs. `fields` name what does; no value is kept but those by which the row is found."""

    audit = models.ForeignKey(Audit, on_delete=models.CASCADE, related_name="findings")
    key_hash = models.BigIntegerField()
    kind = models.CharField(max_length=9, choices=FindingKind)
    state = models.CharField(max_length=9, choices=FindingState)
    round = models.SmallIntegerField()
    pk_text = ExactTextField(default="", help_text="The publisher's primary key; empty of an extra row.")
    key = ExactTextField(default="", help_text="The message key of an extra row.")
    lookup = models.JSONField(default=dict)
    fields = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audit", "key_hash"], name="logpipe_audit_finding")]

    def __str__(self) -> str:
        return f"{self.kind} {self.lookup}"
