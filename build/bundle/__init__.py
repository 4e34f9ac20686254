"""The directory that a build writes."""
