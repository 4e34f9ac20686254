"""Post-training quantization of any fp32 graph."""
