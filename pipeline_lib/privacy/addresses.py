"""Which spans are addresses of somebody, and what stands in their place.

A replacement is one of a few reserved addresses, chosen by a hash of what it replaces: the same for every mention, in
any order of documents, and too few to tell one address from another. Reserved addresses are themselves no addresses of
anybody, so masking a masked text changes nothing.

The lists are our own and not those of Python's `ipaddress`, which change from version to version.
"""

import hashlib
import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

REPLACEMENT_EMAILS = ("email@example.com", "firstname.lastname@example.org")
REPLACEMENT_IPV4 = (  # RFC 5737
    "192.0.2.10",
    "192.0.2.140",
    "198.51.100.20",
    "198.51.100.150",
    "203.0.113.30",
    "203.0.113.160",
)
REPLACEMENT_IPV6 = ("2001:db8::10", "2001:db8::20")  # RFC 3849

CONTEXT_BYTES = 48  # how much of the text before a span decides

# no nested or unbounded repeats: at most a few hundred steps for a span
_EMAIL_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?:[Xx][Nn]--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})"
)
_RESERVED_DOMAIN = re.compile(
    rb"(?:^|\.)(?:example\.(?:com|net|org)|example|invalid|test|localhost|local)$", re.IGNORECASE
)  # RFC 2606, RFC 6761, RFC 6762
# `icon@2x.png` names a file; none of these is a top-level domain
_FILE_NAME = re.compile(rb"\.(?:png|jpe?g|gif|webp|svg|ico|bmp|css|js|json|html?|xml|txt|pdf)$", re.IGNORECASE)

# RFC 6890 and the IANA registry of special-purpose addresses, with multicast (RFC 5771) and 240/4 (RFC 1112)
_NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")  # RFC 4291: all that has been given out as global unicast
_NOT_PUBLIC_IPV6 = tuple(IPv6Network(network) for network in ("2001:db8::/32", "2001:2::/48", "3fff::/20"))

_SMALL_NUMBER = 50

# what stands directly before a dotted number that is no address
_VERSION_BEFORE = re.compile(
    rb"(?:"
    rb"(?:^|[^A-Za-z])(?:v|ver|versions?|rel|releases?|rev|revisions?|build|firmware|sections?|chapter|figure|table|clause)"
    rb"[^A-Za-z0-9]{0,3}"
    rb"|(?:^|[\s(\[;,\"'])[A-Za-z][A-Za-z0-9_+-]{0,30}/"  # Product/1.2.3.4, as user agents write
    rb"|[A-Za-z][-_]"  # name-1.2.3.4
    rb")$",
    re.IGNORECASE,
)
_VERSION_BEHIND = re.compile(rb"[-+][A-Za-z]")  # 1.2.3.4-beta


def email_at(before_at: bytes, behind_at: bytes) -> tuple[int, int] | None:
    """How many bytes before and behind an @ are an e-mail address of somebody; None: it is none.

    Args:
        before_at, behind_at: the span of `find_emails`, without the @.
    """
    local = before_at.rsplit(b"..", 1)[-1].lstrip(b".%+'&-")
    domain = _EMAIL_DOMAIN.match(behind_at)
    if not local or domain is None:
        return None
    if _RESERVED_DOMAIN.search(domain[0]) or _FILE_NAME.search(domain[0]):
        return None
    return len(local), domain.end()


def is_public_ipv4(spelled: bytes, before: bytes, behind: bytes) -> bool:
    """Whether four numbers with dots are an address that is routed in the public internet, not the number of a version.

    The number of a version or section is what follows a word such as `version` or `section`, a product's name and a
    slash, or a name and a hyphen; what is followed by a hyphen and a letter; and four numbers that are all below 50.
    That last rule passes over one public address in 700, and leaves alone the headings of manuals (`12.4.1.1`), which
    are most of what looks like an address in documentation.

    Args:
        before, behind: the text around, CONTEXT_BYTES before and two bytes behind.
    """
    if max(map(int, spelled.split(b"."))) < _SMALL_NUMBER:
        return False
    if _VERSION_BEFORE.search(before) or _VERSION_BEHIND.match(behind):
        return False
    try:
        address = IPv4Address(spelled.decode("ascii"))
    except AddressValueError:
        return False
    return not any(address in network for network in _NOT_PUBLIC_IPV4)


def is_public_ipv6(spelled: bytes) -> bool:
    """Whether it is an address that is routed in the public internet; one with fewer than three numbers is too short to
    tell from code."""
    if sum(1 for group in spelled.split(b":") if group) < 3:
        return False
    try:
        address = IPv6Address(spelled.decode("ascii"))
    except AddressValueError:
        return False
    return address in _PUBLIC_IPV6 and not any(address in network for network in _NOT_PUBLIC_IPV6)


def replacement(address: bytes, choices: tuple[str, ...]) -> str:
    """The reserved address that stands for `address`, upper and lower case alike."""
    digest = hashlib.blake2b(address.lower(), digest_size=8).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]
