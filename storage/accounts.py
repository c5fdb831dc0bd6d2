"""Accounts: what went into a stage is what came out plus what was dropped, reason by reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


class UnbalancedAccount(ValueError):
    """In is not out plus dropped: something disappeared or appeared without a reason."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Counts of one part or one stage.

    `unit_in` and `unit_out` say what is counted ("files", "records", "documents", "tokens"): extraction takes records
    and gives documents.
    """

    documents_in: int
    documents_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    unit_in: str = "documents"
    unit_out: str = "documents"

    def __post_init__(self) -> None:
        # a reason that dropped nothing is no reason
        counted = {reason: self.dropped[reason] for reason in sorted(self.dropped) if self.dropped[reason] != 0}
        object.__setattr__(self, "dropped", counted)
        negative = {reason: count for reason, count in self.dropped.items() if count < 0}
        if negative or self.documents_in < 0 or self.documents_out < 0:
            raise UnbalancedAccount(f"counts below zero: {self}")
        total_dropped = sum(self.dropped.values())
        if self.documents_in != self.documents_out + total_dropped:
            raise UnbalancedAccount(
                f"{self.documents_in} {self.unit_in} in, but {self.documents_out} {self.unit_out} out "
                f"+ {total_dropped} dropped = {self.documents_out + total_dropped}: {dict(self.dropped)}"
            )

    def as_json(self) -> dict[str, Any]:
        return {
            "documents_in": self.documents_in,
            "documents_out": self.documents_out,
            "dropped": dict(self.dropped),
            "unit_in": self.unit_in,
            "unit_out": self.unit_out,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            documents_in=value["documents_in"],
            documents_out=value["documents_out"],
            dropped=value["dropped"],
            unit_in=value["unit_in"],
            unit_out=value["unit_out"],
        )


def add_accounts(accounts: Iterable[Account]) -> Account:
    """The sum of the parts' accounts; all must count the same units. No account at all is an account of nothing."""
    listed = list(accounts)
    if not listed:
        return Account(documents_in=0, documents_out=0)
    units = {(account.unit_in, account.unit_out) for account in listed}
    if len(units) != 1:
        raise ValueError(f"cannot add accounts of different units: {sorted(units)}")
    dropped: dict[str, int] = {}
    for account in listed:
        for reason, count in account.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return Account(
        documents_in=sum(account.documents_in for account in listed),
        documents_out=sum(account.documents_out for account in listed),
        dropped=dropped,
        unit_in=listed[0].unit_in,
        unit_out=listed[0].unit_out,
    )
