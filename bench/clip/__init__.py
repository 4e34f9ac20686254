"""Models of texts and images, under load and in process: one with random weights, beside Weaviate's container.

models.py  loads.py  original.py  systems.py  kind.py   the kind ``clip`` of the benchmark of servers
towers.py  worker.py  openvino_quantize.py              a program of its own: the image tower and reading, in process
"""
