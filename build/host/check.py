"""Says in one line why this machine cannot run the project. Runs on any Python 3, before anything is installed."""

import platform
import sys

SUPPORTED = ((3, 11), (3, 12), (3, 13))
WITHOUT_ENVIRONMENTS = "--without-environments"


def problem(with_environments=True):
    """The sentence for the user, or None. ``with_environments``: whether virtual environments are to be made."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        return "this needs Linux on x86_64 or aarch64, and this is %s on %s" % (platform.system(), platform.machine())
    if sys.version_info[:2] not in SUPPORTED:
        return "this needs Python 3.11, 3.12 or 3.13, and %s is %s: pass PYTHON=/path/to/python3.11" % (
            sys.executable,
            platform.python_version(),
        )
    if with_environments:
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            return "%s has no venv module: install it (Debian: apt-get install python3-venv)" % sys.executable
    return None


if __name__ == "__main__":
    found = problem(with_environments=WITHOUT_ENVIRONMENTS not in sys.argv)
    if found:
        sys.exit("cpu2vec: " + found)
