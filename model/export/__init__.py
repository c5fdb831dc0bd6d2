"""Formats that other programs load without our code."""
