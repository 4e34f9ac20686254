"""Serves a bundle over HTTP: the only code that the image carries.

Before any module here loads a library, it gets what it reads from the environment once.
"""

import os

# onnxruntime's wheel would write an id and a database below $HOME.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# numpy multiplies single vectors by small matrices here: threads of its own would only be in the way of other texts.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
