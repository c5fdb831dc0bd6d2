"""SentencePiece: the training sample, the training, and what the result is worth."""
