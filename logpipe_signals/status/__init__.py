"""What `manage.py logpipe_status` shows: the numbers of `monitoring` as a table, as JSON, and held to thresholds."""
