"""Where pages come from: lists of WARC files, the records inside them, a site made of installed documentation."""
