"""Settings of a project that uses django-logpipe as its documentation shows it."""

import os
from urllib.parse import urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])

SECRET_KEY = "only for a benchmark"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = ["logpipe", "people"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": _url.username or "",
        "PASSWORD": _url.password or "",
        "HOST": _url.hostname or "",
        "PORT": _url.port or "",
    }
}
LOGPIPE = {
    "OFFSET_BACKEND": "logpipe.backend.kafka.ModelOffsetStore",
    "CONSUMER_BACKEND": "logpipe.backend.kafka.Consumer",
    "PRODUCER_BACKEND": "logpipe.backend.kafka.Producer",
    "KAFKA_BOOTSTRAP_SERVERS": os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(","),
    "KAFKA_CONSUMER_KWARGS": {"group_id": "django-logpipe"},
}
