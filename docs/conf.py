"""Sphinx reads this: `tox -e docs` builds the pages."""

import re
from pathlib import Path

VERSION_FILE = Path(__file__).parent.parent / "logpipe_signals" / "_version.py"

project = "logpipe_signals"
author = "The logpipe_signals contributors"
copyright = f"2026, {author}"
release = re.findall(r'__version__ = "(.+)"', VERSION_FILE.read_text(encoding="utf-8"))[0]

extensions: list[str] = []
exclude_patterns = ["_build"]
html_theme = "alabaster"
