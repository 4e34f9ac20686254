"""What is counted and measured, in memory that all workers share, and how it is shown to Prometheus."""
