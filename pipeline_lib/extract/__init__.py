"""From response bytes to main text: character set, HTML, language."""
