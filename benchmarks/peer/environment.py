"""django-logpipe's own virtual environment, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from logpipe_signals.testing.services.cache import locked

REQUIREMENTS = ("django-logpipe==1.6.0", "Django>=5.2", "kafka-python", "psycopg[binary]>=3.2")


def interpreter() -> Path:
    """Return the Python of an environment that has django-logpipe 1.6, making the environment the first time."""
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    name = hashlib.sha256("\n".join(REQUIREMENTS).encode()).hexdigest()[:8]
    with locked("django-logpipe") as cache:
        folder = cache / f"django-logpipe-py{version}-{name}"
        python = folder / "bin" / "python"
        ready = folder / "ready"
        if not ready.exists():
            venv.create(folder, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
            ready.touch()
    return python
