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
_backend = "logpipe.backend." + os.environ.get("PEER_BACKEND", "kafka")
LOGPIPE = {
    "OFFSET_BACKEND": f"{_backend}.ModelOffsetStore",
    "CONSUMER_BACKEND": f"{_backend}.Consumer",
    "PRODUCER_BACKEND": f"{_backend}.Producer",
    "KINESIS_FETCH_LIMIT": 1000,
    "KAFKA_BOOTSTRAP_SERVERS": os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(","),
    "KAFKA_CONSUMER_KWARGS": {"group_id": "django-logpipe"},
}
