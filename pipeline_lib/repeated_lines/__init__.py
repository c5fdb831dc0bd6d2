"""Lines and paragraphs that many documents share: counted, and taken out."""
