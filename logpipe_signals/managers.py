"""The managers that publish what is written set-wise, for a models.py to import. See publishing.managers."""

from logpipe_signals.publishing.managers import PublishingManager, PublishingQuerySet

__all__ = ["PublishingManager", "PublishingQuerySet"]
