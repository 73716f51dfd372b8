"""Sphinx reads this: `tox -e docs` builds the pages."""

import os
import re
import sys
from pathlib import Path

import django

HERE = Path(__file__).parent
VERSION_FILE = HERE.parent / "logpipe_signals" / "_version.py"

# The reference is made from docstrings, so the package is imported, and that needs Django's settings.
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
django.setup()

project = "logpipe_signals"
author = "The logpipe_signals contributors"
copyright = f"2026, {author}"
release = re.findall(r'__version__ = "(.+)"', VERSION_FILE.read_text(encoding="utf-8"))[0]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands", "fields", "logpipe_settings"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Committed changes of Django models, sent and applied.",
    "page_width": "66em",
    "sidebar_width": "16em",
}

default_role = "code"  # `so` is code in docstrings
autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = False
