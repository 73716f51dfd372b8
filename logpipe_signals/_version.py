"""The release, said once: setup.py and the docs read it from here without importing the package."""

__version__ = "0.1.0"
