"""
Builds the distributions and proves that the wheel stands alone.

The wheel holds the package and nothing beside it, installs into an empty environment with its base
requirements only, and starts there as a Django app, its checks passing. The tutorial is followed with it, from an empty
folder to its last screen, and the test project's demo runs on it.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.docs.pages import DOCS, sections  # noqa: E402
from tests.docs.reader import Reader  # noqa: E402

LAST_SCREEN = "['Blow', 'Doe', 'Featherstone']"
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


def follow_the_tutorial(python: Path, folder: Path) -> None:
    """Do what its page says, as a newcomer."""
    folder.mkdir()
    reader = Reader(folder, makes_tables=False, python=python)
    for section in sections(DOCS / "tutorial.rst"):
        print("tutorial:", section.title, flush=True)
        for block in section.blocks:
            reader.follow(block)
    if not reader.seen.rstrip().endswith(LAST_SCREEN):
        sys.exit(f"The tutorial ends with another screen than {LAST_SCREEN}:\n{reader.seen[-2000:]}")


def run_the_demo(python: Path, wheel: Path, folder: Path) -> None:
    """Run the test project, which has no package of ours beside it, on what is installed."""
    shutil.copytree(PROJECT / "testproject", folder / "testproject")
    shutil.copy(PROJECT / "manage.py", folder)
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[demo]")
    run(python, "manage.py", "demo", "--cities", "500", cwd=folder)


def main(scratch: Path) -> None:
    dist, empty = scratch / "dist", scratch / "empty"
    run(sys.executable, "-m", "build", "--outdir", dist)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()))
    wheel = next(dist.glob("*.whl"))
    refuse_strangers_and_gaps(zipfile.ZipFile(wheel).namelist())
    venv.create(empty, with_pip=True)
    python = empty / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, "-m", "pip", "check")
    run(python, "-W", "error", "-c", START, cwd=scratch)
    follow_the_tutorial(python, scratch / "tutorial")
    run_the_demo(python, wheel, scratch / "demo")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="logpipe-package-") as folder:
        main(Path(folder))
