"""What runs in a worker process, in its engine's environment, on one thread.

worker.py       receives requests and runs a model; the models below have the same interface
onnx_model.py   a bundle's graph in onnxruntime: the native ops, or onnxruntime's own
openvino_model.py, openvino_quantize.py  OpenVINO, and how its model is made
torch_model.py  the original in PyTorch
amx.py          keeps a process from AMX
"""
