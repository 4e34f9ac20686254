"""Times each native kernel alone, on one core: ``python -m bench.kernels --help``.

kernels/programs/benchmark.cpp measures; this package compiles it, says on which machine it ran, and how busy that was.
"""
