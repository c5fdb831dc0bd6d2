"""Looking at the documents of a run: a small table of all of them, filters over it, and the pages that show them."""
