"""Serves a bundle over HTTP: the only Python code in the image besides the manifest.

Sets what libraries read from the environment before any module here loads one.
"""

import os

# Otherwise onnxruntime's wheel writes an id and a database below $HOME.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# numpy multiplies single vectors by small matrices here. Threads of its own would only slow down other texts.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
