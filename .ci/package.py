"""
Builds the distributions and proves that the wheel stands alone.

The wheel holds the package and nothing beside it, installs into an empty environment with its base
requirements only, and starts there as a Django app, its checks passing.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
OWED = ("py.typed", "__init__.py", "apps.py", "migrations/__init__.py", "management/commands/__init__.py")
START = """
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "logpipe_signals"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from django.core.management import call_command

call_command("migrate", verbosity=0)
call_command("check")
"""


def run(*command: str | Path, cwd: Path = PROJECT) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=cwd, check=True)


def refuse_strangers_and_gaps(names: Iterable[str]) -> None:
    """Nothing but the package is in the wheel, and all that it owes is."""
    files = {name for name in names if ".dist-info/" not in name}
    strangers = sorted(name for name in files if not name.startswith("logpipe_signals/"))
    missing = [name for name in OWED if f"logpipe_signals/{name}" not in files]
    if strangers or missing:
        sys.exit(f"The wheel has what it should not: {strangers}; and lacks: {missing}. See packages in setup.py.")


def main(scratch: Path) -> None:
    dist, empty = scratch / "dist", scratch / "empty"
    run(sys.executable, "-m", "build", "--outdir", dist)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()))
    wheel = next(dist.glob("*.whl"))
    refuse_strangers_and_gaps(zipfile.ZipFile(wheel).namelist())
    venv.create(empty, with_pip=True)
    run(empty / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    run(empty / "bin" / "python", "-m", "pip", "check")
    run(empty / "bin" / "python", "-W", "error", "-c", START, cwd=scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="logpipe-package-") as folder:
        main(Path(folder))
