"""Measures servers side by side under the same loads: speed, memory, start and fidelity.

kind.py             what a kind of model brings along; bench/text, bench/static and bench/rerank are such
system.py           what a system is; runtime.py makes one of this checkout, base.py of another
limits.py           keeps systems from wider instruction sets
uvicorn.py          starts the applications that are replaced
measurement.py      the procedure; measured_system.py keeps one system's figures, process.py its server
fidelity.py         how close the answers are to the original's
results.py          what is saved as JSON; report.py prints it
"""
