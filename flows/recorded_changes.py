"""What is not as it was when a stage was made: its code, parameters and inputs, versions, the machine."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.digests import canonical_json
from storage.manifests import Manifest

_ENVIRONMENT = ("python", "implementation", "system", "processor", "cores", "git_commit", "git_dirty")
_SHOWN_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that was recorded and is another here, both as text."""

    what: str
    recorded: str
    here: str

    def describe(self) -> str:
        return f"{self.what}: was {self.recorded}, is {self.here}"


def changed_manifest(recorded: Manifest, here: Manifest) -> list[Change]:
    """What goes into a stage's key and is not what went into the recorded one, the likeliest culprits first."""
    changes = []
    if recorded.code_digest != here.code_digest:
        changes.append(_change("code", recorded.code_digest[:_SHOWN_DIGITS], here.code_digest[:_SHOWN_DIGITS]))
    changes += _changed("library ", recorded.libraries, here.libraries)
    parameters = json.loads(canonical_json(here.parameters))  # as a manifest has them: without tuples
    changes += _changed("parameter ", dict(dotted(recorded.parameters)), dict(dotted(parameters)))
    changes += _changed("input ", recorded.inputs, here.inputs)
    return changes


def changed_environment(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[Change]:
    """What a stage's environment was, beside its libraries, and is not."""
    return [
        _change(name.replace("_", " "), recorded.get(name), here.get(name))
        for name in _ENVIRONMENT
        if recorded.get(name) != here.get(name)
    ]


def dotted(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted key, in order; lists are values, and so are empty mappings."""
    for name, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from dotted(each, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", each


def changed_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key and both values where two flat mappings differ, in the order of the keys of both; None: it has no such."""
    keys = [*one, *(key for key in other if key not in one)]
    return [(key, one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)]


def _changed(prefix: str, recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[Change]:
    return [_change(f"{prefix}{key}", one, other) for key, one, other in changed_values(recorded, here)]


def _change(what: str, recorded: Any, here: Any) -> Change:
    return Change(what=what, recorded=_spelled(recorded), here=_spelled(here))


def _spelled(value: Any) -> str:
    return "unknown" if value is None else str(value)
