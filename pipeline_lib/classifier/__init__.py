"""A quality classifier that users train: hashed words and pairs of words, linear, calibrated."""
