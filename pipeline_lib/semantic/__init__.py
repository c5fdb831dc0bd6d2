"""Semantic near-duplicates: texts that say the same in other words, by the vectors of an embedding."""
