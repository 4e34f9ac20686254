"""Makes the manifest's description of an image model for tests; both environments can import it."""

from __future__ import annotations

from manifest import Graph, ImageModel, Layout, PixelInput

PIXELS = PixelInput(8, 8, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
GRAPH = Graph("image.onnx", "image.onnx.data", ("pixel_values",), "vectors", Layout.PADDED, None)
IMAGE = ImageModel("clip", PIXELS, GRAPH, normalizes=True, memory=1)
