"""The machine that a build runs on."""
