"""Where pages come from: lists of WARC files, records inside them, and a documentation site rendered from installed packages."""
