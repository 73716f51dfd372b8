"""
System checks: what would lose or stop messages is said at start-up, with the cure.

`manage.py check` and every command that starts a server run these; `check --database default` and `migrate` look into
the database too, and `check --deploy` at what production needs. Every finding has an id: E001 to E099 and W001 to W099
are ours, E101 and W101 on the backends'.
"""

from __future__ import annotations

from django.core import checks

from logpipe_signals.checks.databases import check_commits, check_databases, check_routers
from logpipe_signals.checks.extensions import check_extensions
from logpipe_signals.checks.publications import check_publications
from logpipe_signals.checks.schemas import check_schemas
from logpipe_signals.checks.sensitive import check_sensitive_fields
from logpipe_signals.checks.settings import check_deployment, check_settings
from logpipe_signals.checks.subscriptions import check_subscriptions

TAG = "logpipe_signals"

checks.register(check_publications, TAG)
checks.register(check_subscriptions, TAG)
checks.register(check_extensions, TAG)
checks.register(check_schemas, TAG)
checks.register(check_sensitive_fields, TAG)
checks.register(check_settings, TAG)
checks.register(check_routers, TAG)
checks.register(check_commits, TAG)
checks.register(check_databases, checks.Tags.database)
checks.register(check_deployment, TAG, deploy=True)

__all__ = [
    "check_commits",
    "check_databases",
    "check_deployment",
    "check_extensions",
    "check_publications",
    "check_routers",
    "check_schemas",
    "check_sensitive_fields",
    "check_settings",
    "check_subscriptions",
]
