"""``python -m runtime``: serves the bundle in ``BUNDLE_DIR``."""

import sys

from runtime.host.garbage import pause_collections


def start() -> None:
    pause_collections()
    # PERF: imported once no search for garbage goes through what it imports.
    from runtime.main import main

    main(sys.argv[1:])


start()
