"""Files that bring runs to clusters, as the verb `deploy` prints them; README.md says how they are used."""
