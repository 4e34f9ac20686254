"""Measures what each precision costs in fidelity and time: ``python -m bench.precisions --help``."""
