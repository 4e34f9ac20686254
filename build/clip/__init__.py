"""Models of texts and images (CLIP): layouts, both towers, the original, and verification tower by tower."""
