"""What the tests of flows share."""

from flow_fixtures import gristmill, prefect_server, shared_gristmill, tiny_crawl

__all__ = ["gristmill", "prefect_server", "shared_gristmill", "tiny_crawl"]
