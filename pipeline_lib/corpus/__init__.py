"""The corpus: decisions and edits applied, split into train and validation, written once."""
