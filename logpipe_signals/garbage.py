"""Garbage collection in the workers, whose batches come and go by reference counts alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 100_000
"""Objects that have to come and stay before the collector looks; a batch of 500 rows has some ten thousand."""


@contextmanager
def few_collections() -> Iterator[None]:
    """
    Let the collector pass over what the imports made, and over the batches in hand.

    With Python's own threshold it looks at each batch a dozen times: a tenth to a quarter of a worker's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
