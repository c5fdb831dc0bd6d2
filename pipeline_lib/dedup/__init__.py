"""Exact and near duplicates: found, verified, explained."""
