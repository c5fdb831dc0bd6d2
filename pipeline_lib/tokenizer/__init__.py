"""The tokenizer: trained on a bounded sample of the corpus, measured, and written for other programs."""
