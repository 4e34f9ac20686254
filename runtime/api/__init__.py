"""HTTP: parses requests, hands them over, encodes answers."""
