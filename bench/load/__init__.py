"""Puts one server under one load: as a process of its own, or from a thread of a test.

loads.py             what is sent, how many at once, over which connections; what comes out of it
texts.py             the texts of requests
routes.py            what a route offers; modules.py knows who asks for which
vectors.py           the requests for vectors, and their answers; embeddings.py those of many texts, scores.py of scores
wire.py              the bytes of one exchange, whatever is asked for
generator.py         the process
kept_connections.py  the pattern of connections that are kept; slow_clients.py stands beside it
closed_loop.py       that of Weaviate (exchange.py), which counts what is lost
"""
