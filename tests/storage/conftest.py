"""Stores of all kinds: a folder, memory, and servers on the loopback address.

S3's server is a package of Python. Azure's (`npm install -g azurite`) and one for Google Cloud Storage
(`pip install gcp-storage-emulator`, in an environment of its own) are used where they are on the PATH.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import fsspec
import pytest
from s3_store import s3_server, s3_url  # noqa: F401 (fixtures)

from storage.store import Store

_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # known to all
_START_SECONDS = 60


@contextlib.contextmanager
def emulator(command: str, *arguments: str) -> Iterator[int]:
    """A server of another project on a free port, which stands for PORT in its arguments."""
    program = shutil.which(command)
    if program is None:
        pytest.skip(f"needs {command} on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [program, *(str(port) if word == "PORT" else word for word in arguments)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} does not answer"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def azure_container() -> Iterator[tuple[str, str]]:
    """A connection string, and the URL of a container."""
    with emulator(
        "azurite-blob", "--blobPort", "PORT", "--inMemoryPersistence", "--skipApiVersionCheck", "--silent"
    ) as port:
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_AZURE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
        fsspec.filesystem("az", connection_string=connection).mkdir("tests")
        yield connection, "az://tests"


@pytest.fixture(scope="session")
def google_bucket() -> Iterator[tuple[str, str]]:
    """The address of a server, and the URL of a bucket."""
    with emulator("gcp-storage-emulator", "start", "--host", "127.0.0.1", "--port", "PORT", "--in-memory") as port:
        server = f"http://127.0.0.1:{port}"
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it would ask Google itself
        fsspec.filesystem("gs", token="anon", project="tests", endpoint_url=server).mkdir("tests")
        yield server, "gs://tests"


@pytest.fixture(params=["folder", "memory", "s3", "az", "gs"])
def store(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    if request.param == "memory":
        return Store(f"memory://{secrets.token_hex(6)}")
    if request.param == "s3":
        return Store(request.getfixturevalue("s3_url"))
    if request.param == "az":
        connection, url = request.getfixturevalue("azure_container")
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    else:
        server, url = request.getfixturevalue("google_bucket")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    return Store(f"{url}/{secrets.token_hex(6)}")
