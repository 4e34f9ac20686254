"""Soaks one server: many callers of all kinds for minutes, with rolling restarts. Is anything lost, does anything grow?

plan.py       what happens when
callers/      who asks for vectors, and what they know of the answers
fleet.py      the server and its replacements, as an orchestrator starts and drains them
observer.py   memory and file descriptors, once a second
run.py        the procedure: puts these together, and takes them apart again; clock.py: its time
series.py     goodput and percentiles over time
losses.py     what was lost, and what was cut
figures.py    makes the figures; results.py: what they are, saved as JSON; verdict.py: their bounds
report.py     the tables; plot.py: the picture; progress.py: how it goes in the meantime
"""
