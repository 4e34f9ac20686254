"""``python -m runtime``: serves the bundle in ``BUNDLE_DIR``."""

import sys

from runtime.main import main

main(sys.argv[1:])
