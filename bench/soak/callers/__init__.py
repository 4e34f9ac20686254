"""All who ask the server for vectors during a soak, and what they know of its answers.

load.py      puts them together
crowd.py     the callers beside those of Weaviate's pattern; sockets.py: their connections
texts.py     texts of all lengths
probes.py    the texts whose vectors are known, and how answers are compared
"""
