"""Signals of a text, and the rules that decide over them."""
