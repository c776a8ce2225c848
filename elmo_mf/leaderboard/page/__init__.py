"""The board as a page: one HTML file that opens from disk and needs no network."""
