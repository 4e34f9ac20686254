"""Times the native kernels: ``python -m bench.kernels --help``."""
