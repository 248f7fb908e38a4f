"""What promomsg costs beside the HTTP clients it could be written without: `python -m benchmarks`."""
