"""Real documents: the text of the pages of a crawl, as our own extraction gives it, in the order of the crawl."""

import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.code_digest import code_digest
from pipeline_lib.extract.candidates import record_items
from pipeline_lib.extract.extraction import Extraction
from pipeline_lib.extract.page_workers import PageWorkers
from pipeline_lib.extract.parameters import ExtractParameters

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
    source = {"warc_path": path.name, "offset": 0, "length": -1, "bytes": path.stat().st_size, "wanted": None}
    extraction = Extraction()
    with path.open("rb") as stream, PageWorkers(parameters) as workers:
        extraction.read(record_items(stream, source, parameters), workers)
    return extraction.documents().rename_columns({"doc_id": "id"}).select(SCHEMA.names).cast(SCHEMA)
