"""Other people's files of texts: finding them, and reading them in batches."""
