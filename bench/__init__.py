"""Benchmarks: measure this project beside others, on this machine, in one run.

Each has a command that teaches with ``--help``, and a page: docs/performance.md, docs/fidelity.md, docs/kernels.md,
docs/reliability.md.

``python -m bench``               servers under load, over HTTP: this project's beside the one that it replaces
``python -m bench.models``        whole models in process: the native kernels beside other engines
``python -m bench.precisions``    what int8 costs in fidelity and saves in time
``python -m bench.rerank.pairs``  a reranker's pairs in process: the native kernels beside other engines
``python -m bench.kernels``       each native kernel alone, for every instruction set that runs here
``python -m bench.workers``       worker processes with a stub for the model: throughput, balance and tail
``python -m bench.soak``          a server for minutes, with rolling restarts: losses, wrong answers, growth
``python -m bench.models.working_memory``, ``python -m bench.models.random_model``    a run's memory; a model to time

server/  models/  precisions/  kernels/    one folder for each; they do not know one another. soak/ knows server/
text/  static/  rerank/  the kinds of models that servers are measured on, with their systems and loads;
                         rerank/ is timed in process, too
load/           loads one server over HTTP
report/         tables, statistics and the description of the machine; knows none of them
incumbent/      the servers that are replaced, re-implemented; each runs in an environment of its own
environment.py  virtual environments            bundles.py   bundles that nobody has verified
original.py     the original's vectors          commands.py  commands that prepare something
text_endpoint.py  what stands in for a model reads
process_tree.py memory and CPU time of servers  command_line.py, progress.py, errors.py  what commands share
"""
