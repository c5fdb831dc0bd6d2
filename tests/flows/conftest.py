"""A tiny crawl, a Prefect server for the session, and the command on a store of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command, command_in
from s3_store import s3_server, s3_url  # noqa: F401 (fixtures)
from tiny_crawl import write_tiny_crawl

from flows.server import start_server, stop_server


@pytest.fixture(scope="session")
def tiny_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of paths of a crawl of 120 pages in 4 WARC files."""
    return write_tiny_crawl(tmp_path_factory.mktemp("crawl"))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for the session; returns the address of its API, which the environment has, too."""
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    server = start_server(home, None)
    yield server.api_url
    stop_server(home)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def gristmill(tmp_path: Path, prefect_server: str) -> Iterator[Command]:
    """The command on a store of its own."""
    yield from command_in(tmp_path)


@pytest.fixture(scope="module")
def shared_gristmill(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Command]:
    """The command on a store that the tests of a module share."""
    yield from command_in(tmp_path_factory.mktemp("shared"))
