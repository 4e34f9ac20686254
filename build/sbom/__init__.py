"""Lists what is in an image, as a software bill of materials."""
