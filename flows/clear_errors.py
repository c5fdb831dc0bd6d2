"""The border to the person at the terminal: what went wrong becomes one message and an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from storage.wrong_request import WrongRequest

WORK_FAILED = 1
WRONG_REQUEST = 2
INTERRUPTED = 130


@contextmanager
def clear_errors(stopped: str = "what is published stays, and the next run continues from there") -> Iterator[None]:
    """Turn what went wrong into one message and an exit code; GRISTMILL_TRACEBACK=1 lets it rise.

    Args:
        stopped: what an interrupt leaves behind.
    """
    try:
        yield
    except WrongRequest as error:
        _fail(error, WRONG_REQUEST)
    except KeyboardInterrupt:
        click.echo(f"\nstopped; {stopped}", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 (the border to the person at the terminal)
        _fail(error, WORK_FAILED)


def _fail(error: Exception, code: int) -> NoReturn:
    if os.environ.get("GRISTMILL_TRACEBACK"):
        raise error
    name = "" if isinstance(error, WrongRequest | ValueError | RuntimeError) else f"{type(error).__name__}: "
    click.echo(f"gristmill: {name}{error}", err=True)
    sys.exit(code)
