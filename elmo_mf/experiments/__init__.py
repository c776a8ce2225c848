"""The harness: task cards, the grid of a sweep, one cell's run, its latency, and the store of results."""
