"""ONNX graphs on disk and in memory. Knows no model, kernel or precision."""
