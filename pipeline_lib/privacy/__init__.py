"""Addresses of people and machines in texts: found, and replaced by reserved ones."""
