"""Silences the libraries' own log lines, warnings and bars, which tell a user nothing that helps."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Until the end of the block; bars that a stage draws itself are not touched."""
    root, silent = logging.getLogger(), logging.NullHandler()
    disabled = root.manager.disable
    # NOTE: without a handler on the root, a library's logging.warning() would install one on standard error for good.
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(silent)
