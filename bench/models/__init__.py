"""Times whole models in process, token ids in and token embeddings out: ``python -m bench.models --help``.

rows.py         which systems are timed, with which instruction sets: one row each
preparation.py  what each engine loads (encoder_graph.py); random_model.py writes models with random weights
process.py      a worker process of one engine; engines/ is what runs in it
measurement.py  times of all rows, round by round; costs.py takes memory, session time and fidelity
report.py       the tables
working_memory.py  a program of its own: what one run takes beside the weights
"""
