"""Static models: what their files declare, their table in a bundle, and the original to compare with."""
