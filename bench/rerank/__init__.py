"""Rerankers under load and in process: untrained ones of real sizes, beside Weaviate's container and other engines.

loads.py  models.py  original.py  systems.py  kind.py   the kind ``rerank`` of the benchmark of servers
pairs.py                                                 a program of its own: engines in process
"""
