"""The documentation crawl: what gets a page, what is counted instead, and WARC files like Common Crawl's."""

import base64
import gzip
import hashlib
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastwarcIterator
from published_stages import publish_stage
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from pipeline_lib.crawl.documentation import (
    DocumentationParameters,
    NothingToDocument,
    UnreadableSource,
    documentation_identity,
    documentation_parts,
    list_sites,
    read_module,
)
from pipeline_lib.crawl.documentation_stage import crawl_part
from pipeline_lib.crawl.listing import sources_from_crawl
from storage.manifests import PartWriter, StageAddress
from storage.store import Store

MODULES = {
    "gristpkg/__init__.py": b'"""Grinds grist."""\nraise RuntimeError("documentation must not import")\n',
    "gristpkg/mill.py": b'''"""Mills.

With ``stones``.
"""

class Mill(object):
    def grind(self, grain: str,
              finely: bool = False) -> str:
        """Grind *grain* into flour.

        Args:
            grain: What to grind.
        """
        def inner():
            """Not documented: inside a function."""

    def undocumented(self):
        pass

if True:
    async def wait(*, seconds=1):  # a comment
        "Wait for the miller."
''',
    "gristpkg/silent.py": b"x = 1\n",
    "gristpkg/broken.py": b'"""Looks fine."""\ndef (:\n',
    "gristpkg/latin.py": '"""Café without a declared encoding."""\n'.encode("latin-1"),
    "gristpkg/declared.py": '# -*- coding: latin-1 -*-\n"""Café with one."""\n'.encode("latin-1"),
    "gristpkg/tests/test_mill.py": b'"""Tests of mills."""\n',
    "gristpkg/testing/__init__.py": b'"""Public help for testing."""\n',
    "gristpkg/testing/_private/tools.py": b'"""Private help."""\n',
    "gristpkg/not-a-name.py": b'"""Cannot be imported."""\n',
}
METADATA = """Metadata-Version: 2.1
Name: grist-pkg
Version: 1.0
Summary: A mill
Description-Content-Type: text/markdown

# Grist

All is grist that comes to the <b>mill</b>.
"""


def install(folder, name="grist-pkg", version="1.0", modules=MODULES, metadata=METADATA):
    """Lay out a distribution as pip does."""
    information = f"{name.replace('-', '_')}-{version}.dist-info"
    files = {**modules, f"{information}/METADATA": metadata.encode(), f"{information}/INSTALLER": b"pip\n"}
    record = []
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    record += ["gristpkg/gone.py,sha256=x,1", f"{information}/RECORD,,", "../../bin/grist,sha256=y,2"]
    (folder / information / "RECORD").write_text("\n".join(record) + "\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def crawl(parameters, folder):
    """Run all parts of the crawl stage and publish it."""
    return publish_stage(
        Store(str(folder)),
        "crawl",
        documentation_parts(parameters),
        lambda part, output: crawl_part(part, {}, output, parameters),
        key="k",
    )


def warc_files(stage):
    return [
        Path(stage.store.full_path(f"{stage.manifest.address.folder}/{record.path}"))
        for record in stage.manifest.files("warc")
    ]


def responses(stage):
    """Status and body of all responses, by address."""
    found = {}
    for path in warc_files(stage):
        with path.open("rb") as stream:
            for record in WarcioIterator(stream):
                if record.rec_type == "response":
                    address = record.rec_headers.get_header("WARC-Target-URI")
                    assert address not in found
                    found[address] = (record.http_headers.get_statuscode(), record.content_stream().read().decode())
    return found


PARAMETERS = DocumentationParameters(packages=("grist-pkg",), crawl="DOCS-TEST", num_files=3)


def test_each_documented_module_and_the_readme_get_a_page_and_the_rest_is_counted(installed, tmp_path):
    stage = crawl(PARAMETERS, tmp_path / "store")
    pages = {address: body for address, (status, body) in responses(stage).items() if status == "200"}
    root = "https://grist-pkg.docs.invalid/1.0/"
    assert sorted(address.removeprefix(root) for address in pages) == [
        "gristpkg/__init__.html",
        "gristpkg/declared.html",
        "gristpkg/mill.html",
        "gristpkg/testing/__init__.html",
        "index.html",
    ]
    account = stage.manifest.account
    assert account.documents_out == 5
    assert account.dropped == {
        "file_missing": 1,
        "no_docstring": 1,
        "not_a_module": 1,
        "test_module": 2,
        "undecodable_source": 1,
        "unparsable_source": 1,
    }
    mill = pages[root + "gristpkg/mill.html"]
    assert "<p>With <code>stones</code>.</p>" in mill
    assert "def grind(self, grain: str, finely: bool = False) -&gt; str" in mill
    assert "async def wait(*, seconds=1)" in mill
    assert "<strong>grain</strong> – What to grind." in mill
    assert "undocumented" not in mill
    assert "inside a function" not in mill
    assert "Café with one." in pages[root + "gristpkg/declared.html"]
    assert "All is grist that comes to the mill." in pages[root + "index.html"]


def test_sites_also_answer_with_a_redirect_and_a_missing_page(installed, tmp_path):
    answers = responses(crawl(PARAMETERS, tmp_path / "store"))
    assert answers["https://grist-pkg.docs.invalid/"][0] == "301"
    assert answers["https://grist-pkg.docs.invalid/robots.txt"][0] == "404"


def test_two_readers_find_every_record_whole_and_each_in_a_gzip_member_of_its_own(installed, tmp_path):
    stage = crawl(PARAMETERS, tmp_path / "store")
    kinds = []
    for path in warc_files(stage):
        content = path.read_bytes()
        members, offset = [], 0
        while offset < len(content):
            decompressor = zlib.decompressobj(31)
            members.append(decompressor.decompress(content[offset:]))
            offset = len(content) - len(decompressor.unused_data)
        by_fastwarc = []
        with path.open("rb") as stream:
            for record in FastwarcIterator(stream, parse_http=False):
                assert record.verify_block_digest()
                by_fastwarc.append(record.headers["WARC-Type"])
        by_warcio = []
        with path.open("rb") as stream:
            iterator = WarcioIterator(stream, check_digests="raise")
            for record in iterator:
                record.content_stream().read()
                by_warcio.append(record.rec_type)
        assert by_fastwarc == by_warcio
        assert len(members) == len(by_warcio)
        assert all(member.startswith(b"WARC/1.0\r\n") for member in members)
        assert by_warcio == ["warcinfo", *["request", "response", "metadata"] * (len(by_warcio) // 3)]
        kinds += by_warcio
    assert kinds.count("response") == 7  # 5 pages, a redirect, a page that is not there


def test_the_path_list_names_the_files_in_order_and_fetch_finds_them_in_the_store(installed, tmp_path):
    stage = crawl(PARAMETERS, tmp_path / "store")
    with stage.local_file("paths") as listed:
        assert str(listed).endswith("/paths/crawl-data/DOCS-TEST/warc.paths.gz")
        entries = gzip.decompress(listed.read_bytes()).decode().splitlines()
    sources = sources_from_crawl(stage)
    assert [source.warc_path for source in sources] == entries
    assert len(entries) == 3
    assert all(entry.startswith("crawl-data/DOCS-TEST/segments/") for entry in entries)
    for source, path in zip(sources, warc_files(stage), strict=True):
        assert source.url.startswith("store:stages/crawl/k/warc/crawl-data/")
        assert str(path).endswith(source.url.removeprefix("store:"))
        assert source.fingerprint == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


DIGESTS = """
import hashlib, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pipeline_lib.crawl.documentation import DocumentationParameters, documentation_parts
from pipeline_lib.crawl.documentation_stage import crawl_part
from storage.manifests import PartWriter, StageAddress
from storage.store import Store
parameters = DocumentationParameters(packages=("grist-pkg", "pluggy"), crawl="DOCS-TEST", num_files=2)
parts = documentation_parts(parameters)
for part in reversed(parts) if sys.argv[2] == "reversed" else parts:
    writer = PartWriter(store=Store(tempfile.mkdtemp()), address=StageAddress(stage="crawl", key="k"), part=part.name)
    crawl_part(part, {}, writer, parameters)
    print(writer.files[0].path, writer.files[0].sha256)
"""


def test_the_same_packages_give_the_same_bytes_in_any_folder_process_order_and_hash_seed(tmp_path):
    outputs = set()
    for seed, order in (("1", "forward"), ("2", "reversed")):
        folder = tmp_path / seed / "site-packages"
        install(folder)
        finished = subprocess.run(
            [sys.executable, "-c", DIGESTS, str(folder), order],
            env={"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo" if seed == "1" else "UTC"},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add("\n".join(sorted(finished.stdout.splitlines())))
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == 3


def test_parts_rendered_at_once_in_threads_are_those_rendered_one_after_another(tmp_path):
    parameters = DocumentationParameters(packages=("pluggy", "click"), num_files=4)
    store = Store(str(tmp_path / "store"))

    def render(part):
        writer = PartWriter(store=store, address=StageAddress(stage="crawl", key="threads"), part=part.name)
        crawl_part(part, {}, writer, parameters)
        return writer.files[0].sha256

    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(render, documentation_parts(parameters)))
    assert at_once == [record.sha256 for record in crawl(parameters, tmp_path / "store").manifest.files()]


@pytest.mark.parametrize("num_files", [1, 2, 5])
def test_the_pages_do_not_depend_on_the_number_of_files(installed, tmp_path, num_files):
    parameters = DocumentationParameters(packages=("grist-pkg",), crawl="DOCS-TEST", num_files=num_files)
    assert responses(crawl(parameters, tmp_path / "store")) == responses(crawl(PARAMETERS, tmp_path / "other"))


@pytest.mark.parametrize(("max_pages", "made"), [(1, 1), (2, 2), (1000, 5)])
def test_max_pages_bounds_the_whole_crawl_and_what_it_leaves_out_is_counted(installed, tmp_path, max_pages, made):
    parameters = DocumentationParameters(packages=("grist-pkg",), num_files=1, max_pages=max_pages)
    account = crawl(parameters, tmp_path / "store").manifest.account
    assert account.documents_out == made
    assert account.dropped.get("over_max_pages", 0) + account.dropped.get("no_docstring", 0) >= 5 - made


def test_a_package_that_is_not_installed_is_counted_by_the_part_paths(installed, tmp_path):
    parameters = DocumentationParameters(packages=("grist-pkg", "no-such-package"), num_files=1)
    stage = crawl(parameters, tmp_path / "store")
    (paths,) = [part for part in stage.manifest.parts if part.name == "paths"]
    assert paths.account.dropped == {"package_not_installed": 1}
    assert paths.metrics["packages_not_installed"] == ["no-such-package"]
    assert list(documentation_identity(parameters)) == ["grist-pkg"]


def test_no_installed_package_at_all_is_a_clear_error():
    parameters = DocumentationParameters(packages=("no-such-package",))
    with pytest.raises(NothingToDocument, match="no-such-package; install them"):
        documentation_identity(parameters)
    with pytest.raises(NothingToDocument):
        list_sites(parameters)


def test_the_identity_changes_with_a_module_or_the_metadata_and_with_nothing_else(tmp_path, monkeypatch):
    identities = []
    changes = [
        {},
        {"modules": {**MODULES, "gristpkg/data.bin": b"\x00"}},
        {"modules": {**MODULES, "gristpkg/silent.py": b"x = 2\n"}},
        {"metadata": METADATA + "More.\n"},
    ]
    for number, change in enumerate(changes):
        folder = tmp_path / str(number)
        install(folder, **change)
        with monkeypatch.context() as context:
            context.syspath_prepend(str(folder))
            identities.append(documentation_identity(PARAMETERS)["grist-pkg"])
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3
    assert identities[0].startswith("1.0 sha256:")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"# coding: no-such-codec\n", "undecodable_source"),
        (b"\xff\xfe\x00", "undecodable_source"),
        (b"x = '\x00'\n", "unparsable_source"),
        (b"(" * 100_000, "unparsable_source"),
        (b"def f(:\n", "unparsable_source"),
    ],
)
def test_hostile_sources_have_a_reason(source, reason):
    with pytest.raises(UnreadableSource) as raised:
        read_module(source)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("definition", "signature"),
    [
        ("def f(a, b=1): 'doc'", "def f(a, b=1)"),
        ("def f(\n    a,\n    b=(1, 2),\n) -> None:\n    'doc'", "def f(a, b=(1, 2)) -> None"),
        ("def f(a,  # why\n      b='#x'):\n    'doc'", "def f(a, b='#x')"),
        ("@decorated(1)\ndef f(é='é'):\n    'doc'", "def f(é='é')"),
        ("class C(Base, metaclass=Meta):\n    @property\n    def p(self): 'doc'", "class C(Base, metaclass=Meta)"),
        ("class C:\n    'doc'", "class C"),
        ("def f[T](x: T) -> T:\n    'doc'", "def f[T](x: T) -> T"),
    ],
)
def test_signatures_are_as_typed_on_one_line(definition, signature):
    if "[T]" in definition and sys.version_info < (3, 12):
        pytest.skip("needs Python 3.12: type parameters")
    (member,) = read_module(definition.encode()).members
    assert member.signature == signature


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"packages": ()}, "at least one"),
        ({"packages": ("../etc",)}, "no names of distributions"),
        ({"packages": ("typing_extensions", "typing-extensions")}, "more than once"),
        ({"crawl": "a/b"}, "letters, digits"),
        ({"num_files": 0}, "num_files=0"),
        ({"max_pages": 0}, "max_pages=0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DocumentationParameters(**wrong)
