"""
What docs/sight.rst lists of metrics and signals, beside those there are.

`python -m tests.unit.metrics.page` writes them into it; it needs DJANGO_SETTINGS_MODULE.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from logpipe_signals import signals
from logpipe_signals.metrics.catalogue import METRICS, Metric

PAGE = Path(__file__).resolve().parents[3] / "docs/sight.rst"


def listed(name: str) -> str:
    """Return one of the lists as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(f".. {name} begin")[2].partition(f".. {name} end")[0].strip()


def there_are(name: str) -> str:
    """Return it as the code has it."""
    return _signals() if name == "signals" else "\n\n".join(map(_entry, METRICS))


def _entry(metric: Metric) -> str:
    labels = ", ".join(metric.labels) or "no labels"
    name = metric.samples[0] if metric.kind == "counter" else metric.name
    return f"``{name}`` ({metric.kind}; {labels})\n    {metric.text}"


def _signals() -> str:
    body = (signals.__doc__ or "").partition("\n\nPublishing\n")[2].rstrip()
    return ".. code-block:: text\n\n" + textwrap.indent(f"Publishing\n{body}", "    ")


def write() -> None:
    """Write both lists into the page."""
    for name in ("metrics", "signals"):
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(f".. {name} begin")
        after = rest.partition(f".. {name} end")[2]
        PAGE.write_text(f"{before}.. {name} begin\n\n{there_are(name)}\n\n.. {name} end{after}", encoding="utf-8")


if __name__ == "__main__":
    write()
