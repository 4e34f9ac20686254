"""Token batches through onnxruntime."""
