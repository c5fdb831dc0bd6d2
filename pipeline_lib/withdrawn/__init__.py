"""What was withdrawn after it was crawled: pages, domains and whole files that stay out of later corpora."""
