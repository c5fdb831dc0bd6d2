"""What all tests share: the real data beside a checkout, where there is some, and renewing golden texts."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from flows.compiled import keep_compiled_kernels

PROJECT = Path(__file__).resolve().parent.parent
SHARED_DATA = PROJECT.parent / "shared" / "data"

# Before anything imports Prefect: tests report to nobody.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# Before anything imports PyTorch: threads that wait asleep, as in `gristmill run`; tests have neighbours on every core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Before anything imports numba: a changed kernel must not meet old machine code.
keep_compiled_kernels()
# The first example of many a property compiles or loads something, and machines are busy: time is not what they test.
settings.register_profile("gristmill", deadline=None)
settings.load_profile("gristmill")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write golden texts anew instead of comparing them")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    # gzip writes the time into its header: as names of tests, such bytes differ from one process of tests to the next
    return argname if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.fixture
def renew(request: pytest.FixtureRequest) -> bool:
    """Whether golden texts are to be written instead of compared (`make golden`)."""
    return bool(request.config.getoption("--renew"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real crawl pages and texts that a checkout of the whole workplace has, and a user's clone has not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real pages, which are not part of the project")
    return SHARED_DATA
