"""The rule sets, one a module: what it measures of a text, and on which side of which threshold a text is dropped."""
