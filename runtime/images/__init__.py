"""Images as they are sent, to what an image model's network reads."""
