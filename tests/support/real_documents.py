"""Real documents: the text of the pages of a crawl, as our own extraction gives it, in the order of the crawl."""

import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.code_digest import code_digest
from pipeline_lib.crawl.warc_records import read_records
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.stage import NoDocument, Tally, read_document

SCHEMA = pa.schema(
    [("id", pa.string()), ("url", pa.large_string()), ("language", pa.string()), ("text", pa.large_string())]
)


def mini_crawl_documents(shared_data: Path, cache: Path) -> Path:
    """A Parquet file of the mini crawl's documents; made once for each state of the extraction's code."""
    digest = code_digest(["pipeline_lib.extract.stage"])[:16]
    path = cache / f"minicc-{digest}.parquet"
    if not path.exists():
        files = sorted((shared_data / "minicc" / "crawl-data").rglob("*/warc/*.warc.gz"))
        cache.mkdir(parents=True, exist_ok=True)
        with multiprocessing.get_context("spawn").Pool() as pool:
            tables = pool.map(_documents_of, files)
        unfinished = path.with_suffix(".partial")
        pq.write_table(pa.concat_tables(tables), unfinished, compression="zstd")
        unfinished.rename(path)
    return path


def _documents_of(path: Path) -> pa.Table:
    parameters = ExtractParameters()
    rows = []
    with path.open("rb") as stream:
        for record in read_records(stream, parameters.max_body_bytes):
            try:
                document = read_document(record, path.name, parameters, Tally())
            except NoDocument:
                continue
            rows.append({"id": document["doc_id"], **{name: document[name] for name in SCHEMA.names[1:]}})
    return pa.Table.from_pylist(rows, SCHEMA)
