"""Garbage collection in the workers, whose batches come and go by reference counts alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 300_000
"""
Objects that have to come and stay before the collector looks. A relay's batches in hand have some hundred thousand;
were all of these garbage, it would be some 30 MB.
"""


@contextmanager
def few_collections() -> Iterator[None]:
    """
    Let the collector pass over what the imports made, and over the batches in hand.

    With Python's own threshold it looks at each batch a dozen times: a tenth to a third of a worker's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
