"""People, published by hand as django-logpipe wants it, and copied."""
