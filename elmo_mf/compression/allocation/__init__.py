"""Which matrix gets which rank within a budget."""
