"""The network and its training: knows token ids and tensors, nothing of crawls."""
