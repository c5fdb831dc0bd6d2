"""Compiled loops over Arrow string buffers: no Python object per document."""
