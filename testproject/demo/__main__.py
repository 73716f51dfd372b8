"""`python -m testproject.demo`: the play, in the environment that `manage.py demo` made for it."""

from __future__ import annotations

import argparse
import sys

import django


def main() -> int:
    """Return 0 when both sides are equal at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cities", type=int, required=True)
    parser.add_argument("--kept", action="store_true")
    arguments = parser.parse_args()
    django.setup()
    from testproject.demo import play

    try:
        return play.run(cities=arguments.cities, kept=arguments.kept)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
