import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tldextract import TLDExtract

from pipeline_lib.filters.rules.url import UrlRules, check_lists, measure
from pipeline_lib.filters.rules.url_lists import (
    MAX_REGISTERED_LABELS,
    Listing,
    canonical_hosts,
    has_registered_domains,
    hosts_of,
    registered_domains,
)
from pipeline_lib.filters.rules.word_lists import list_files, read_entries
from storage.wrong_request import WrongRequest

EXTRACT = TLDExtract(cache_dir=None, suffix_list_urls=())


def tar(members: dict[str, str]) -> bytes:
    """A tar.gz with files of these texts, beside a link and a folder, as UT1 packs them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        folder = tarfile.TarInfo("blacklists")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("blacklists/ads")
        link.type, link.linkname = tarfile.SYMTYPE, "publicite"
        archive.addfile(link)
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


UT1 = {
    "blacklists/adult/domains": "bad.com\nworse.com\n",
    "blacklists/adult/urls": "fine.org/bad\n",
    "blacklists/adult/usage": "black\n",
    "blacklists/games/domains": "play.com\n",
}


def listed(urls: list[str], rules: UrlRules) -> list[int]:
    signals = measure(pa.chunked_array([urls]), rules)
    return [int(value) for value in np.maximum(signals["url_listed_domain"], signals["url_listed_url"])]


URLS = ["http://bad.com", "http://worse.com/x", "http://play.com", "http://fine.org/bad", "http://fine.org"]


@pytest.mark.parametrize(
    ("categories", "expected"),
    [((), [1, 1, 1, 1, 0]), (("adult",), [1, 1, 0, 1, 0]), (("adult", "games"), [1, 1, 1, 1, 0])],
)
def test_an_archive_lists_the_domains_and_urls_of_its_categories(
    categories: tuple[str, ...], expected: list[int], tmp_path: Path
) -> None:
    (tmp_path / "all.tar.gz").write_bytes(tar(UT1))
    archive = (str(tmp_path / "all.tar.gz"),)
    assert listed(URLS, UrlRules(domains=archive, urls=archive, categories=categories)) == expected


def test_categories_may_be_spread_over_archives(tmp_path: Path) -> None:
    (tmp_path / "adult.tar.gz").write_bytes(tar({"adult/domains": "bad.com\n"}))
    (tmp_path / "games.tar.gz").write_bytes(tar({"games/domains": "play.com\n"}))
    rules = UrlRules(domains=(f"{tmp_path}/*.tar.gz",), categories=("adult", "games"))
    assert listed(URLS, rules) == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_lists_are_read_plain_or_packed(pack, line_end: str, tmp_path: Path) -> None:
    text = line_end.join(["\ufeff# a comment", "", "  bad.com  ", "play.com"])
    (tmp_path / "list").write_bytes(pack(text.encode()))
    entries = read_entries(list_files("key", (str(tmp_path / "list"),))[0])
    assert entries.text.to_pylist() == ["bad.com", "play.com"]
    assert entries.line.tolist() == [3, 4]


def test_lists_of_several_gzip_members_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(gzip.compress(b"bad.com\n") + gzip.compress(b"play.com\n"))
    assert listed(URLS, UrlRules(domains=(str(tmp_path / "list.gz"),))) == [1, 0, 1, 0, 0]


def test_lists_are_read_from_any_file_system() -> None:
    with fsspec.open("memory://url-lists/domains.txt", "wb") as stream:
        stream.write(b"bad.com\n")
    assert listed(URLS, UrlRules(domains=("memory://url-lists/*.txt",))) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"filters\.url\.domains: there is no file '.*list'"),
        (b"", r"filters\.url\.domains: .*list: an empty list"),
        (b"# all\n\n  # commented out\n", "an empty list"),
        (b"fine.org\nb\xfccher.de\n", r"filters\.url\.domains: .*list, line 2: not UTF-8 \(byte 0xfc\)"),
        (b"fine.org\nx\nPK\x00\x01", r"line 3: a zero byte"),
        (gzip.compress(b"bad.com\n" * 1000)[:-12], "is damaged gzip"),
        (tar({"adult/usage": "black\n"}), r"an archive without a member <category>/domains"),
        (tar(UT1)[:60], "damaged"),
        (tar(UT1), r"filters\.url\.domains: categories names adlt, .* there are adult, games"),
        (tar({**UT1, "blacklists/adlt/domains": ""}), r"list:blacklists/adlt/domains: an empty list"),
        (tar({"adlt/urls": "x\n", "adult/domains": "x\n"}), r"has no domains in the categories adlt"),
    ],
)
def test_a_wrong_list_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(WrongRequest, match=message):
        check_lists(UrlRules(domains=(str(tmp_path / "list"),), categories=("adlt",)))


def test_a_folder_or_an_unknown_protocol_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match="there is no file"):
        check_lists(UrlRules(domains=(str(tmp_path),)))
    with pytest.raises(WrongRequest, match=r"filters\.url\.urls: 'nowhere://x' cannot be read"):
        check_lists(UrlRules(urls=("nowhere://x",)))
    (tmp_path / "ut1.tar.gz").write_bytes(tar(UT1))
    with pytest.raises(WrongRequest, match="is an archive; expected a list"):
        check_lists(UrlRules(hard_words=(str(tmp_path / "ut1.tar.gz"),)))


HOST_PIECES = (
    "http://|https://|//|a:b@|@|:|:80|www.|bbc|co.uk|com|.|..|kawasaki.jp|city|pvt.k12.ma.us|10.0.0.1|[::1]|[|]|/|?|#"
    "|xn--p1ai|xn--bcher-kva|-|_|1|blogspot|localhost"
)


@given(st.lists(st.lists(st.sampled_from(HOST_PIECES.split("|")), max_size=8).map("".join), max_size=6))
def test_hosts_and_registered_domains_are_those_of_tldextract(urls: list[str]) -> None:
    hosts = hosts_of(pl.Series(urls, dtype=pl.String))
    extracted = [EXTRACT(url) for url in urls]
    assert registered_domains(hosts).to_list() == [each.top_domain_under_public_suffix for each in extracted]
    for host, each in zip(hosts, extracted, strict=True):
        assert each.fqdn in ("", host) or host.startswith(".")  # an empty label, which it drops

    wanted = pl.Series(["bbc.co.uk", "bbc.com", "city.pvt.k12.ma.us", "city.kawasaki.jp", "a.b.kawasaki.jp"])
    found = has_registered_domains(Listing(np.sort(wanted.hash().to_numpy())), hosts)
    assert found.tolist() == [each.top_domain_under_public_suffix in set(wanted) for each in extracted]


def test_no_registered_domain_has_more_labels_than_are_looked_at() -> None:
    assert max(suffix.count(".") for suffix in EXTRACT.tlds) + 2 <= MAX_REGISTERED_LABELS


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("bücher.de", "xn--bcher-kva.de"),
        ("BÜCHER.de", "xn--bcher-kva.de"),
        ("bu\u0308cher.de", "xn--bcher-kva.de"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("straße.de", "xn--strae-oqa.de"),  # not strasse.de, which is another's
        ("ｂａｄ.com", "bad.com"),
        ("fine.org", "fine.org"),
        ("", ""),
        ("é" * 300, "xn--" + ("é" * 300).encode("punycode").decode()),
    ],
)
def test_internationalised_hosts_are_spelled_in_ascii(host: str, canonical: str) -> None:
    assert canonical_hosts(pl.Series([host, "other.org", host])).to_list() == [canonical, "other.org", canonical]


def test_registered_domains_are_found_without_network_and_without_writing(tmp_path: Path) -> None:
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('went to the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import polars as pl\n"
        "from pipeline_lib.filters.rules.url_lists import registered_domains\n"
        "print(registered_domains(pl.Series(['news.bbc.co.uk'])).to_list())\n"
    )
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.returncode) == ("['bbc.co.uk']\n", 0), done.stderr
    assert not [path for path in tmp_path.rglob("*") if "tldextract" in str(path)]
