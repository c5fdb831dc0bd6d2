"""How the places of bytes are spelled: local paths, `store:` paths, URLs."""

import re

STORE_SCHEME = "store:"  # before a path inside the store that the table itself is in
UNKNOWN_SIZE = -1

SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def is_local(url: str) -> bool:
    return not url.startswith(STORE_SCHEME) and not SCHEME.match(url)
