"""``python -m runtime``: serves the bundle in ``BUNDLE_DIR``."""

from runtime.main import main

main()
