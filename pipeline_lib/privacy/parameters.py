"""What is masked."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class PrivacyParameters:
    """Which addresses are replaced by reserved ones; both, as in FineWeb (Penedo et al. 2024, arXiv:2406.17557).

    Attributes:
        emails: e-mail addresses.
        ips: public internet addresses, of version 4 and 6.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    emails: bool = True
    ips: bool = True
