"""Reports in one sentence why this machine cannot run the project. Runs on any Python 3, without any package."""

import platform
import sys

OLDEST = (3, 11)
"""The oldest Python that the project's own code runs on."""

WITH_WHEELS = ((3, 11), (3, 12), (3, 13))
"""The Pythons that the pinned packages have wheels for."""

FOR_IMAGE = "--for-image"
"""The argument with which this module, as a program, checks for `make image`, which installs no packages."""

GET_PYTHON = 'run `uv python install 3.13`, then make with PYTHON="$(uv python find 3.13)"'
"""How to get a Python that is supported, whatever the system's own is."""


def python_problem() -> "str | None":
    """Return why this Python cannot run the project's code, or None."""
    if OLDEST <= sys.version_info[:2] < (4,):
        return None
    return _wrong_python("3.11 or newer")


def environment_problem() -> "str | None":
    """Return why the project's packages cannot be installed here, or None."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        return "bundles are built and served on Linux on x86_64 or aarch64, not %s on %s; %s" % (
            platform.system(),
            platform.machine(),
            "`make image` needs nothing but Docker and Python",
        )
    if sys.version_info[:2] not in WITH_WHEELS:
        return _wrong_python("3.11, 3.12 or 3.13, for which the pinned packages have wheels")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "%s has no venv module: install it (Debian: apt-get install python3-venv)" % sys.executable
    return None


def _wrong_python(wanted: str) -> str:
    return "Python must be %s, not %s (%s): %s" % (wanted, platform.python_version(), sys.executable, GET_PYTHON)


def main() -> None:
    """End the process with the sentence, if there is one."""
    problem = python_problem() if FOR_IMAGE in sys.argv else environment_problem()
    if problem:
        sys.exit("cpu2vec: " + problem)


if __name__ == "__main__":
    main()
