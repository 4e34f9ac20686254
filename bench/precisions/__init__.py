"""Measures what each precision costs in fidelity and time: ``python -m bench.precisions --help``.

variants.py      one unverified bundle for each way of storing weights
fidelity.py      their vectors beside the original's, on the held-out texts and on scored pairs of sentences (sts.py)
engine_times.py  times of their graphs on one core
"""
