"""Speed of the engine beside what one would otherwise write; run by `python -m benchmarks`."""
