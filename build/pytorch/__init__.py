"""The original network. No other folder imports PyTorch's model libraries."""
