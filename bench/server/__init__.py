"""Puts embedding servers under the same load, and compares speed, memory, start and fidelity.

systems.py          which servers there are: one row each; base.py adds another checkout's
loads.py, texts.py  what is sent to them
measurement.py      the procedure; measured_system.py keeps one system's figures, process.py its server
load_generator.py   a process of its own that sends requests (wire.py) and checks the answers
kept_connections.py the pattern of connections that are kept; closed_loop.py that of Weaviate (exchange.py), which
                    counts what is lost
fidelity.py         how close the vectors are to the original's
results.py          what is saved as JSON; report.py prints it
"""
