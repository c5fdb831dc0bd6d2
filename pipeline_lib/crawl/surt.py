"""SURT keys: the spelling of URLs by which every index of a crawl is sorted (`com,example)/path?query`).

The host comes first and backwards, so that a domain and all below it stand together. Common Crawl writes its keys with
pywb, and so with the canonicalisation of the package `surt` of the Internet Archive, whose rules these are: scheme,
user, fragment, default port and a leading `www.` go; escapes are undone as often as there are any, and what has to be
escaped is escaped once; paths are resolved; session ids go; arguments are sorted; all is lower case.
"""

import contextlib
import ipaddress
import re
from urllib.parse import unquote_to_bytes

_OPAQUE = re.compile(r"(?:dns|mailto|warcinfo|filedesc|urn|about|data|javascript|metadata|screenshot):", re.IGNORECASE)
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):/+")
_SCHEME_TWICE = re.compile(r"https?:/*(?=https?:/)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21"}
_WWW = re.compile(r"www\d*\.")
_KEPT = frozenset(range(0x21, 0x7F)) - set(b"#%")
_MAX_UNESCAPING = 64  # an escape of an escape of ...: each round makes it shorter; nobody means so many

# of ASP.NET, in the path of a page; of Java, behind a path
_PATH_SESSIONS = (
    re.compile(r"^(.*/)\((?:[a-z]\([0-9a-z]{24}\))+\)/([^?]+\.aspx.*)$", re.IGNORECASE | re.DOTALL),
    re.compile(r"^(.*/)\([0-9a-z]{24}\)/([^?]+\.aspx.*)$", re.IGNORECASE | re.DOTALL),
    re.compile(r"^(.*?);jsessionid=[0-9a-z]{32}()$", re.IGNORECASE | re.DOTALL),
)
_QUERY_SESSIONS = tuple(
    re.compile(rf"^(.*){argument}(?:&(.*))?$", re.IGNORECASE | re.DOTALL)
    for argument in (
        "jsessionid=[0-9a-z]{32}",
        "phpsessid=[0-9a-z]{32}",
        "sid=[0-9a-z]{32}",
        "aspsessionid[a-z]{8}=[a-z]{24}",
        "cfid=[^&]+&cftoken=[^&]+",
    )
)


def surt_key(url: str) -> str:
    """The key of a URL. Any text has one: what is no URL is taken for a host and what follows it."""
    url = url.strip().replace("\t", "").replace("\r", "").replace("\n", "")
    if not url or _OPAQUE.match(url):
        return url or "-"
    url = _SCHEME_TWICE.sub("", url)
    scheme, rest = "http", url.lstrip("/")
    match = _SCHEME.match(url)
    if match:
        scheme, rest = match[1].lower(), url[match.end() :]
    rest = rest.partition("#")[0]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    path, asked, query = rest[len(authority) :].partition("?")
    key = f"{_authority_key(authority, scheme)}){_path_key(path)}"
    arguments = _query_key(query) if asked else ""
    return f"{key}?{arguments}" if arguments else key


def host_key(host: str) -> str:
    """The part of a key that is before the bracket, for a host without a port: `com,example` of `www.example.com`."""
    return _authority_key(host.strip(), "http")


def _authority_key(authority: str, scheme: str) -> str:
    host, colon, port = authority.rpartition("@")[2].rpartition(":")
    if not colon or not (port.isdigit() or not port) or host.endswith(":"):
        host, port = authority.rpartition("@")[2], ""
    host = _canonical_host(host)
    host = _WWW.sub("", host, count=1) if _WWW.match(host) else host
    key = ",".join(reversed(host.split("."))) if not host.startswith("[") else host
    return f"{key}:{port}" if port and port != _DEFAULT_PORTS.get(scheme) else key


def _canonical_host(host: str) -> str:
    raw = _unescaped(host)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and not text.isascii():
        with contextlib.suppress(UnicodeError):  # else no name that could be registered: it is escaped below
            raw = text.encode("idna")
    dots = re.sub(rb"\.{2,}", b".", raw).strip(b".")
    return _number_as_address(_escaped(dots).lower())


def _number_as_address(host: str) -> str:
    """Addresses as four decimal numbers, however they are written (one number, octal, hexadecimal)."""
    labels = host.split(".")
    if len(labels) > 4 or not all(re.fullmatch(r"0x[0-9a-f]+|\d{1,12}", label) for label in labels):
        return host
    try:
        numbers = [int(label, 16 if "x" in label else 8 if label[0] == "0" else 10) for label in labels]
    except ValueError:
        return host
    *first, last = numbers
    if len(numbers) > 1 and (max(first) > 255 or last >= 1 << 8 * (5 - len(numbers))):
        return host
    value = sum(number << 8 * (3 - place) for place, number in enumerate(first)) + last
    return str(ipaddress.IPv4Address(value & 0xFFFFFFFF))


def _path_key(path: str) -> str:
    text = _escaped(_unescaped(path))
    steps: list[str] = []
    for step in text.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    folder = "/" if steps and text.endswith(("/", "/.", "/..")) else ""
    resolved = "/" + "/".join(steps) + folder
    for pattern in _PATH_SESSIONS:
        match = pattern.match(resolved)
        if match:
            resolved = match[1] + match[2]
    return (resolved.rstrip("/") or "/").lower()


def _query_key(query: str) -> str:
    text = _escaped(_unescaped(query))
    for pattern in _QUERY_SESSIONS:
        match = pattern.match(text)
        if match:
            text = match[1] + (match[2] or "")
    return "&".join(sorted(text.lower().split("&"), key=lambda argument: argument.split("=", 1)))


def _unescaped(text: str) -> bytes:
    raw = text.encode(errors="surrogatepass")
    for _ in range(_MAX_UNESCAPING):
        once = unquote_to_bytes(raw)
        if once == raw:
            break
        raw = once
    return raw


def _escaped(raw: bytes) -> str:
    return "".join(chr(byte) if byte in _KEPT else f"%{byte:02X}" for byte in raw)
