"""What a manifest says of each kind of model: one module per kind. Standard library only."""
