"""django-logpipe 1.6 as the other side: in an environment of its own, spoken to over pipes."""
