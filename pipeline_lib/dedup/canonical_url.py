"""When two URLs name the same page: their canonical forms are equal.

`kernels.canonical_urls` hashes this form for whole columns; here it is to be read, shown and tested against.

What is taken out cannot choose the page; what might choose it on some server, stays. A page that has two canonical
URLs is no loss, since equal texts are found by their words; two pages with one would be:
- `index.html` and the like stay: which file a server gives for a folder, only the server knows.
- Upper and lower case of paths and arguments stay apart, and `//` from `/`, though `surt` and so the index of Common
  Crawl join them.
- Names of hosts in Unicode and in Punycode are two.

Sources: RFC 3986, 6.2.2 and 6.2.3 (escapes, case, dot segments, empty paths, default ports); the URL Standard of
WHATWG (whitespace around and within, `URLSearchParams.sort`); `surt` (`www.`, closing slashes, sessions in paths).
"""

import re

from pipeline_lib.kernels.url_arguments import (
    DROPPED_NAMES,
    DROPPED_PREFIXES,
    ITS_PAIR,
    PAIRED_NAME,
    SESSION_NAMES,
    SESSION_VALUE_CHARS,
)

_CONTROLS_AND_SPACE = bytes(range(0x21))
_HTTP = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%\x80-\xff-]*)(?::([0-9]*))?")
_DEFAULT_PORTS = (b"", b"80", b"443")  # of both schemes, since http and https are one
_WWW = re.compile(rb"www[0-9]*\.(?=[^.]+\.)")
_CAPITALS_BUT_OF_ESCAPES = re.compile(rb"(?<!%)(?<!%.)[A-Z]+")

_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
# RFC 3986: `pchar`, `/` and `?` stand for themselves in a path, a query or a fragment; all else should be escaped
_ESCAPE_OR_TO_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~!$&'()*+,;=:@/?-]")
_SESSION_STEP = re.compile(rb"\(s\([a-z0-9]{24}\)\)", re.IGNORECASE)  # of ASP.NET
_SESSION_VALUE = re.compile(rb"(?=[a-z]*[0-9])[a-z0-9]*", re.IGNORECASE)


def canonical_url(url: str) -> str | None:
    """The canonical form, ASCII; None where it is no URL of http or https.

    - The scheme, user and password, default ports, `www.` and `www2.` before a domain, and a dot behind it go; the host
      is in lower case.
    - Escapes of letters, digits, `-`, `.`, `_` and `~` are undone; other escapes are in upper case; what RFC 3986 wants
      escaped is.
    - `.` and `..` are resolved; sessions in the path go, and slashes at its end.
    - Arguments that track or hold a session go (`url_arguments`), and empty ones; the others are sorted by name, those
      of one name as they were.
    - The fragment goes, unless it is a hashbang (`#!`): pages of scripts, where it chose the page.
    """
    raw = url.encode(errors="surrogatepass").strip(_CONTROLS_AND_SPACE).translate(None, b"\t\n\r")
    match = _HTTP.match(raw)
    if match is None:
        return None
    host = _host(match[1])
    if host is None:
        return None
    rest, _, fragment = raw[match.end() :].partition(b"#")
    path, _, query = rest.partition(b"?")
    canonical = host + _path(path)
    arguments = _arguments(query)
    if arguments:
        canonical += b"?" + arguments
    if fragment.startswith(b"!") and len(fragment) > 1:
        canonical += b"#" + _escaped(fragment)
    return canonical.decode("ascii")


def _host(authority: bytes) -> bytes | None:
    match = _HOST_AND_PORT.fullmatch(authority.rpartition(b"@")[2])
    if match is None:
        return None
    host, port = match[1], (match[2] or b"").lstrip(b"0")
    if len(port) > 5 or int(port or b"0") > 0xFFFF:
        return None
    if host.startswith(b"["):
        host = host.lower()
    else:
        host = _CAPITALS_BUT_OF_ESCAPES.sub(lambda each: each[0].lower(), _escaped(host))
        host = host.rstrip(b".")
        while match := _WWW.match(host):
            host = host[match.end() :]
    if not host:
        return None
    return host if port in _DEFAULT_PORTS else host + b":" + port


def _path(path: bytes) -> bytes:
    steps: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        name, *parameters = _escaped(segment).split(b";")
        step = b";".join([name, *(each for each in parameters if not _is_dropped(each))])
        if step == b"..":
            del steps[-1:]
        elif step != b"." and not _SESSION_STEP.fullmatch(step):
            steps.append(step)
    return (b"/" + b"/".join(steps)).rstrip(b"/") or b"/"


def _arguments(query: bytes) -> bytes:
    arguments = [_escaped(each) for each in query.split(b"&") if each]
    names = [_name(each) for each in arguments]
    paired = ITS_PAIR in names
    kept = [
        each
        for each, name in zip(arguments, names, strict=True)
        if not _is_dropped(each) and not (paired and name == PAIRED_NAME)
    ]
    kept.sort(key=lambda each: each.partition(b"=")[0])
    return b"&".join(kept)


def _name(argument: bytes) -> str:
    """In lower case, and without the rest of an ampersand that was escaped for HTML once too often."""
    name = argument.partition(b"=")[0]
    while name.startswith(b"amp;"):
        name = name[4:]
    return name.lower().decode("ascii")


def _is_dropped(argument: bytes) -> bool:
    name, value = _name(argument), argument.partition(b"=")[2]
    if name.startswith(DROPPED_PREFIXES) or name in DROPPED_NAMES:
        return True
    return name in SESSION_NAMES and len(value) in SESSION_VALUE_CHARS and bool(_SESSION_VALUE.fullmatch(value))


def _escaped(raw: bytes) -> bytes:
    return _ESCAPE_OR_TO_ESCAPE.sub(_normal_escape, raw)


def _normal_escape(match: re.Match[bytes]) -> bytes:
    found = match[0]
    if len(found) == 1:
        return b"%%%02X" % found[0]
    byte = bytes([int(found[1:], 16)])
    return byte if _UNRESERVED.fullmatch(byte) else found.upper()
