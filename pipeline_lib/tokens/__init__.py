"""Documents as token ids: encoded part by part, then shuffled over the whole corpus into shards."""
