"""The harness: task cards, the grid of a sweep, one run's run, its latency, and the store of results."""
