"""The page for people at ``/``: its sources, and how they become one document."""
