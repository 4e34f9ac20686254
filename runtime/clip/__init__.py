"""Texts and images to vectors of one space: the jobs of one request, and the runs of both towers."""
