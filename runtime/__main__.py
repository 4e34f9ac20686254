"""``python -m runtime``: serve the bundle in BUNDLE_DIR."""

from runtime.main import main

main()
