"""Stores of all kinds: a folder, memory, and an S3 server on the loopback address."""

import secrets

import pytest
from s3_store import s3_server, s3_url  # noqa: F401 (fixtures)

from storage.store import Store


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    if request.param == "memory":
        return Store(f"memory://{secrets.token_hex(6)}")
    return Store(request.getfixturevalue("s3_url"))
