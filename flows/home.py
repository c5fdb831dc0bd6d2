"""Where a store lies when nobody names one, and where on this machine that stays which no remote store can hold."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.store import Store

DEFAULT_STORE = ".gristmill"


def home_of(store: "Store") -> Path:
    """The folder for databases that belong to a store: the store itself, or one in the working folder."""
    return Path(store.root) if store.is_local else Path(DEFAULT_STORE).absolute()
