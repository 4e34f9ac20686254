"""Turns a Hugging Face model into a bundle. Uses PyTorch and optimum, none of which reaches the image."""
