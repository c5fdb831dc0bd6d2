"""Runs whose stages are published by hand, as the tests of the report read them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from made_run import FACTS, HOSTILE, MadeRun, publish_run

from storage.manifests import PublishedStage
from storage.store import Store


@pytest.fixture(scope="session")
def made_run(tmp_path_factory) -> MadeRun:
    """A plain run that tests only read."""
    return publish_run(Store(str(tmp_path_factory.mktemp("run") / "store")), per_part=60, hostile="")


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> MadeRun:
    """A run whose every page tries to become part of the report."""
    return publish_run(Store(str(tmp_path_factory.mktemp("hostile") / "store")), per_part=20, hostile=HOSTILE)


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """What only a run knows of itself."""
    return FACTS


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def with_metrics() -> Callable[[PublishedStage, Mapping[str, Any]], PublishedStage]:
    """A stage as if it had reported other metrics, of the stage and of each part."""

    def replaced(stage: PublishedStage, metrics: Mapping[str, Any]) -> PublishedStage:
        parts = tuple(replace(part, metrics=metrics) for part in stage.manifest.parts)
        return replace(stage, manifest=replace(stage.manifest, metrics=metrics, parts=parts))

    return replaced
