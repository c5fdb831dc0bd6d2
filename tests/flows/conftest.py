"""What the tests of flows share."""

from flow_fixtures import gristmill, prefect_server, shared_gristmill, tiny_crawl
from s3_store import s3_server, s3_url

__all__ = ["gristmill", "prefect_server", "s3_server", "s3_url", "shared_gristmill", "tiny_crawl"]
