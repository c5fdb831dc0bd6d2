"""A small n-gram model over bytes, and what a text costs under it."""
