"""
System checks: what would lose or stop messages is said at start-up, with the cure.

`manage.py check` and every command that starts a server run these; `check --database default` and `migrate` look into
the database too, and `check --deploy` at what production needs: the databases, the log, and who runs. Every finding has
an id: E001 to E099 and W001 to W099 are ours, E101 and W101 on the backends'. `docs/checks.rst` lists them all.
"""

from __future__ import annotations

from django.core import checks

from logpipe_signals.checks.databases import check_commits, check_databases, check_routers
from logpipe_signals.checks.deployment import check_deployment, check_running
from logpipe_signals.checks.extensions import check_extensions
from logpipe_signals.checks.publications import check_publications
from logpipe_signals.checks.schemas import check_schemas
from logpipe_signals.checks.sensitive import check_sensitive_fields
from logpipe_signals.checks.settings import check_settings
from logpipe_signals.checks.subscriptions import check_subscriptions
from logpipe_signals.checks.tables import check_tables
from logpipe_signals.checks.topics import check_topics
from logpipe_signals.checks.values import check_values

TAG = "logpipe_signals"

checks.register(check_publications, TAG)
checks.register(check_subscriptions, TAG)
checks.register(check_extensions, TAG)
checks.register(check_schemas, TAG)
checks.register(check_sensitive_fields, TAG)
checks.register(check_settings, TAG)
checks.register(check_values, TAG)
checks.register(check_routers, TAG)
checks.register(check_commits, TAG)
checks.register(check_databases, checks.Tags.database)
for deployed in (check_deployment, check_running, check_tables, check_topics):
    checks.register(deployed, TAG, deploy=True)

__all__ = [
    "check_commits",
    "check_databases",
    "check_deployment",
    "check_extensions",
    "check_publications",
    "check_routers",
    "check_running",
    "check_schemas",
    "check_sensitive_fields",
    "check_settings",
    "check_subscriptions",
    "check_tables",
    "check_topics",
    "check_values",
]
