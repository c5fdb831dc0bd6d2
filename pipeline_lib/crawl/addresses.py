"""How the places of bytes are spelled: local paths, `store:` paths, URLs."""

import re

STORE_SCHEME = "store:"  # before a path inside the store that the table itself is in
UNKNOWN_SIZE = -1

SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def is_local(url: str) -> bool:
    return not url.startswith(STORE_SCHEME) and not SCHEME.match(url)


def is_here(url: str) -> bool:
    """Whether a file is on this machine or in the store: if it is gone, no network is to blame."""
    return is_local(url) or url.startswith(STORE_SCHEME)
