"""
A project with two sides: `default` holds what is published, `subscriber` the copies that the consumer keeps.

DATABASE_URL (postgresql://..., mysql://...) moves both sides to another database server, the subscriber's to the same
name with `_subscriber` behind it; without it both are SQLite files in TESTPROJECT_DATA_DIR. LOGPIPE_BACKEND chooses the
log, LOGPIPE_RELAY who sends.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("TESTPROJECT_DATA_DIR", BASE_DIR / ".data"))

SECRET_KEY = "only for the test project"
DEBUG = os.environ.get("DEBUG", "") == "1"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "testproject.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "logpipe_signals",
    "testproject.people",
    "testproject.places",
    "testproject.mirror",
    "testproject.demo",
]

if os.environ.get("LOGPIPE_TEST_APPS") == "1":
    # Models of every shape, for the tests; their tables come without migrations.
    INSTALLED_APPS += ["pgtrigger", "tests.zoo"]
    MIGRATION_MODULES = {"zoo": None}

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def speak_mysql() -> None:
    """Let Django use PyMySQL, which needs nothing compiled, where mysqlclient is not installed."""
    if "MySQLdb" not in sys.modules and find_spec("MySQLdb") is None:
        import pymysql  # type: ignore[import-untyped]

        pymysql.install_as_MySQLdb()


def database(suffix: str) -> dict[str, Any]:
    """Return the settings of one side's database."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / f"logpipe{suffix}.sqlite3",
            "OPTIONS": options,
        }
    parts = urlsplit(url)
    engine = ENGINES[parts.scheme.partition("+")[0]]
    if engine.endswith("mysql"):
        speak_mysql()
    return {
        "ENGINE": engine,
        "NAME": parts.path.lstrip("/") + suffix,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": dict(parse_qsl(parts.query)).get("host", parts.hostname or ""),
        "PORT": parts.port or "",
    }


DATABASES = {"default": database(""), "subscriber": database("_subscriber")}
DATABASE_ROUTERS = ["testproject.routers.SideRouter"]

# Which log, and who sends: LOGPIPE_BACKEND is database (the embedded log), kafka, confluent, kinesis or dummy.
BACKEND = f"logpipe_signals.backend.{os.environ.get('LOGPIPE_BACKEND', 'database')}"
LOGPIPE = {
    "PRODUCER_BACKEND": f"{BACKEND}.Producer",
    "CONSUMER_BACKEND": f"{BACKEND}.Consumer",
    "OFFSET_BACKEND": f"{BACKEND}.ModelOffsetStore",
    "CONSUMER_DATABASE": "subscriber",
    "RELAY": os.environ.get("LOGPIPE_RELAY", "inline"),
    "KAFKA_BOOTSTRAP_SERVERS": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    "KINESIS_REGION": os.environ.get("AWS_DEFAULT_REGION", ""),
    "KINESIS_FETCH_LIMIT": 1000,
    "KINESIS_ENDPOINT_URL": os.environ.get("KINESIS_ENDPOINT_URL", ""),
    # Any other setting, as JSON: LOGPIPE_SETTINGS='{"LEASE_SECONDS": 5}'
    **json.loads(os.environ.get("LOGPIPE_SETTINGS", "{}")),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "logpipe_signals": {"level": os.environ.get("LOGPIPE_LOG_LEVEL", "INFO")},
        "kafka": {"level": os.environ.get("KAFKA_LOG_LEVEL", "WARNING")},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
}
