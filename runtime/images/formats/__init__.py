"""What each image format says of itself in its first bytes, and the part of a file that its first picture needs."""
