"""What a person withdraws, in its canonical form: a page, a domain with all hosts below it, or a file of sources.

- A page is its canonical URL (`dedup.canonical_url`): other schemes, `www.`, closing slashes, campaigns and sessions go
  with it. Internationalised hosts are in ASCII. What is no URL of http or https is itself, to the letter.
- A domain is a host in ASCII and lower case, or an address. Ports and user names say nothing of it.
- A file is its logical path, `warc_path` in the tables: from `crawl-data/` on, where it has that.
"""

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pipeline_lib.dedup.canonical_url import canonical_url
from storage.exclusions import Exclusion, ExclusionKind
from storage.wrong_request import WrongRequest

if TYPE_CHECKING:
    from tldextract import TLDExtract

_HTTP = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE_SCHEME = re.compile(r"(?:s3a?|gs|gcs|az|abfss?|hf|file|ftp|sftp|memory)://", re.IGNORECASE)
_SOURCE_FILE = re.compile(
    r"\.(?:(?:warc(?:\.wet)?|wet|jsonl?|ndjson|parquet)(?:\.(?:gz|zst|lz4|bz2|xz))?|gz|zst|lz4)", re.IGNORECASE
)
_LAYOUT_ROOT = "crawl-data/"
_PORT = re.compile(r":[0-9]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_HOST_CHARS = 253
_PUNYCODE = "xn--"


class UnclearTarget(WrongRequest):
    """What is to be withdrawn cannot be told from the words; the message says what was expected."""


def parse_target(text: str, kind: ExclusionKind | None = None) -> Exclusion:
    """What a person means by a word: taken as the given kind, or as the kind that it looks like.

    With a scheme or a path behind a host it is a page; a bare host is a domain; what has the suffix of a WARC or text
    file, or the address of a store, is a file.

    Raises:
        UnclearTarget: it is nothing of that kind, or of none.
    """
    text = text.strip()
    kind = kind or _kind_of(text)
    match kind:
        case "domain":
            return Exclusion(kind, _domain(text))
        case "file":
            return Exclusion(kind, _file(text))
        case "url":
            return Exclusion(kind, _url(text))


def canonical_host(host: str) -> str:
    """A host as domains are compared: ASCII, lower case, no escapes, no dot behind it, addresses in short form."""
    bare = host.strip("[]") if ":" in host else host
    if ":" in bare:
        try:
            return str(ipaddress.IPv6Address(bare.partition("%")[0]))
        except ValueError:
            return bare.lower()
    while "%" in bare and (unescaped := unquote(bare)) != bare:  # shorter each time
        bare = unescaped
    if not bare.isascii():
        # here, since polars takes a fifth of a second to import
        import polars as pl

        from pipeline_lib.filters.rules.url_lists import canonical_hosts

        [bare] = canonical_hosts(pl.Series([bare], dtype=pl.String)).to_list()
    return bare.lower().rstrip(".")


def spellings(value: str) -> list[str]:
    """The URLs, one for each canonical form, that a withdrawn page may have in a crawl: its host in ASCII, and in
    Unicode where it has that. Empty where the value is no URL of http or https, which is compared to the letter."""
    if _SCHEME.match(value):  # no canonical form: an empty port is left out of them
        return []
    authority, slash, path = value.partition("/")
    host, colon, port = authority.partition(":")
    found = [f"http://{value}"]
    if _PUNYCODE in host:
        labels = [_in_unicode(label) for label in host.split(".")]
        found.append(f"http://{'.'.join(labels)}{colon}{port}{slash}{path}")
    return found


def _kind_of(text: str) -> ExclusionKind:
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    if _FILE_SCHEME.match(text) or (f"/{_LAYOUT_ROOT}" in f"/{path}" and _ends_as_file(path)):
        return "file"
    if _SCHEME.match(text):
        return "url"
    host, slash, _ = path.partition("/")
    if _ends_as_file(path) and (not slash or not _may_be_host(host)):
        return "file"
    if _may_be_host(host):
        return "url" if slash or "?" in text else "domain"
    raise UnclearTarget(
        f"{text!r} is neither a page (https://example.org/page), nor a domain (example.org), nor a file of sources "
        "(crawl-data/…/x.warc.gz, texts.jsonl.zst); --as url, domain or file says which is meant"
    )


def _ends_as_file(path: str) -> bool:
    name = path.rpartition("/")[2]
    return any(_SOURCE_FILE.fullmatch(name, dot.start()) for dot in re.finditer(r"\.", name))


def _may_be_host(host: str) -> bool:
    """Whether something with a dot, or an address, may well be a host."""
    name = _PORT.sub("", host) if not host.startswith("[") and host.count(":") == 1 else host.partition("]")[0]
    try:
        spelled = canonical_host(name.rpartition("@")[2])
        return ("." in spelled or ":" in spelled) and _wrong_with_host(spelled) is None
    except UnclearTarget:
        return False


def _domain(text: str) -> str:
    if _SCHEME.match(text) or "/" in text or "@" in text:
        raise UnclearTarget(f"{text!r} is no domain: expected a host alone, such as example.org")
    if text.startswith("*."):
        raise UnclearTarget(f"{text!r}: a domain goes with all hosts below it; give {text[2:]!r}")
    if text.count(":") == 1:
        raise UnclearTarget(f"{text!r}: a domain goes with all its ports; give {text.partition(':')[0]!r}")
    host = canonical_host(text)
    wrong = _wrong_with_host(host)
    if wrong is not None:
        raise UnclearTarget(f"{text!r} is no domain: {wrong}")
    suffix = _suffixes()(host)
    if suffix.suffix == host:
        raise UnclearTarget(
            f"{text!r} is a public suffix: below it are the sites of everybody; name the domain that is meant"
        )
    return host


def _wrong_with_host(host: str) -> str | None:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return "it has colons, and is no IPv6 address"
        return None
    labels = host.split(".")
    if len(host) > _MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, labels)):
        return "expected letters, digits and hyphens between dots, such as example.org"
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):  # of which no domain ends (WHATWG, URL, host parser)
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return "it ends in a number, and is no IPv4 address"
    return None


def _url(text: str) -> str:
    url = text if _SCHEME.match(text) else f"https://{text}"
    if not _HTTP.match(url):
        return url
    canonical = canonical_url(url)
    if canonical is None:
        raise UnclearTarget(f"{text!r} is no URL of a page: expected one such as https://example.org/page")
    host, slash, path = canonical.partition("/")
    if "%" in host:
        name, colon, port = host.partition(":")
        host = f"{canonical_host(name)}{colon}{port}"
        canonical = canonical_url(f"http://{host}{slash}{path}")
        if canonical is None:
            raise UnclearTarget(f"{text!r} is no URL of a page: its host is none")
    return canonical


def _file(text: str) -> str:
    path = re.split(r"[?#]", text, maxsplit=1)[0] if _SCHEME.match(text) else text
    start = f"/{path}".rfind(f"/{_LAYOUT_ROOT}")
    path = path[start:] if start >= 0 else path.removeprefix("./")
    if not path or path.endswith("/") or "\n" in path:
        raise UnclearTarget(f"{text!r} is no file: expected a path such as crawl-data/…/x.warc.gz or texts.jsonl.zst")
    return path


def _in_unicode(label: str) -> str:
    if not label.startswith(_PUNYCODE):
        return label
    try:
        spelled = label.removeprefix(_PUNYCODE).encode().decode("punycode")
        spelled.encode()  # half of a surrogate pair
        return spelled
    except UnicodeError:
        return label


@lru_cache(maxsize=1)
def _suffixes() -> "TLDExtract":
    from tldextract import TLDExtract  # here, since it imports an HTTP client: a sixth of a second for every command

    return TLDExtract(cache_dir=None, suffix_list_urls=())  # without network, and without files beside those installed
