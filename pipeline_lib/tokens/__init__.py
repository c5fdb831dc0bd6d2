"""From documents to shuffled token shards."""
