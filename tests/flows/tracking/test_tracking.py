"""What trackers show of a run, read back with what each brings to read it, and what a run does when one fails."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wandb_file import read_wandb_file

from flows.recipe import load_recipe
from flows.settings import SettingsError
from flows.tracking.opening import TrackerMissing, check_trackers
from flows.tracking.tracking import Tracking
from storage.accounts import Account
from storage.manifests import FileRecord, Manifest, PartRecord
from storage.runs import Run, StageOutcome
from storage.store import Store

RUN_ID = "minicrawl-20261126-103949-6774"
RECIPE = load_recipe("minicrawl", ["source.paths=a.warc.gz", "training.steps=5"])
ALL = ("tensorboard", "mlflow", "wandb")
# of the network of others, and of the machine's settings: a test must not depend on either
_OURS = {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"}

pytestmark = [
    pytest.mark.timeout(300),
    # of the libraries that read back, and of MLflow's with its database
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a tracker shows of a run. `metrics`: by name, (step, value) in the order they are shown."""

    metrics: Mapping[str, list[tuple[int, float]]]
    parameters: Mapping[str, str]
    facts: Mapping[str, str]
    scores: Mapping[str, float]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _OURS:
        monkeypatch.delenv(name, raising=False)


def a_run() -> Run:
    return Run(
        run_id=RUN_ID,
        recipe_name="minicrawl",
        recipe=RECIPE.model_dump(mode="json"),
        recipe_digest=RECIPE.digest(),
        created_at="2026-11-26T10:39:49+00:00",
        environment={"git_commit": "c0ffee"},
    )


def track(store: Store, names: tuple[str, ...], run: Run, warnings: list[str]) -> Tracking:
    return Tracking(names, store, run, {"vectors": 2.0}, warnings.append)


def step(number: int) -> dict[str, Any]:
    return {
        "step": number,
        "tokens_seen": number * 512,
        "loss": 6.0 - number / 2,
        "learning_rate": 0.01 * number,
        "grad_norm": 1.0 / number,
        "tokens_per_second": 1000.0 + number,
        "validation_loss": 4.5 if number == 5 else None,
    }


def judged() -> tuple[StageOutcome, Manifest]:
    account = Account(documents_in=10, documents_out=7, dropped={"gopher_quality.too_few_words": 2, "c4.lorem": 1})
    file = FileRecord(table="decisions", part="part-0", path="d/part-0", rows=10, bytes=500, sha256="", content="")
    part = PartRecord(name="part-0", files=(file,), account=account, metrics={})
    manifest = Manifest(
        stage="judge", key="k", parameters={}, code_digest="", libraries={}, inputs={}, parts=(part,),
        account=account, metrics={}, environment={}, seconds=2.0,
    )  # fmt: skip
    return StageOutcome(name="judge", key="k", account=account, reused=True, seconds=0.5), manifest


def tell_all(tracking: Tracking, run: Run) -> None:
    """A stage, five steps of which the first two were of an earlier sitting, and the whole log once more."""
    outcome, manifest = judged()
    tracking.stage(outcome, manifest, 4)
    tracking.note(corpus_digest="82189f93")
    tracking.training_log([step(1), step(2)])
    for number in (3, 4, 5):
        tracking.training_step(step(number))
    tracking.training_log([step(number) for number in range(1, 6)])
    run.metrics = {"val_bits_per_byte": 3.5, "samples": ["no number"]}
    run.status = "completed"
    tracking.close(run)


def read_tensorboard(folder: Path, home: Path) -> Shown:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    content = found.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    started = parse_session_start_info_plugin_data(content).hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in started.items()}
    metrics = {name: [(each.step, each.value) for each in found.Scalars(name)] for name in found.Tags()["scalars"]}
    scores = {name: points[-1][1] for name, points in metrics.items() if name.startswith("scores/")}
    parameters = {name: as_text(value) for name, value in values.items()}
    return Shown(metrics=metrics, parameters=parameters, facts=parameters, scores=scores)


def read_mlflow(folder: Path, home: Path) -> Shown:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("minicrawl")
    (run,) = client.search_runs([experiment.experiment_id], filter_string=f"attributes.run_name = '{RUN_ID}'")
    assert run.info.status == "FINISHED"
    metrics = {
        name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    return Shown(
        metrics=metrics,
        parameters=run.data.params,
        facts=run.data.tags,
        scores={name: points[-1][1] for name, points in metrics.items() if name.startswith("scores/")},
    )


def read_wandb(folder: Path, home: Path) -> Shown:
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = read_wandb_file(path)
    assert found["name"] == RUN_ID
    assert found["exit_code"] == 0
    config = {name.removeprefix("run/"): as_text(value) for name, value in found["config"].items()}
    return Shown(metrics=found["history"], parameters=config, facts=config, scores=found["summary"])


def as_text(value: Any) -> str:
    """A value as the strings of MLflow have it; TensorBoard's numbers are all floats."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


READERS: dict[str, Callable[[Path, Path], Shown]] = {
    "tensorboard": read_tensorboard,
    "mlflow": read_mlflow,
    "wandb": read_wandb,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a run that all trackers were told of."""
    store, run, warnings = Store(str(tmp_path_factory.mktemp("tracked"))), a_run(), list[str]()
    tell_all(track(store, ALL, run, warnings), run)
    assert warnings == []
    return store


@pytest.mark.parametrize("name", ALL)
def test_a_tracker_shows_every_step_once_the_pipeline_the_recipe_and_the_scores(told: Store, name: str) -> None:
    shown = READERS[name](Path(told.root) / "runs" / RUN_ID, Path(told.root))
    assert shown.metrics["train/loss"] == [(number, 6.0 - number / 2) for number in range(1, 6)]
    assert shown.metrics["train/validation_loss"] == [(5, 4.5)]
    assert [at for at, _ in shown.metrics["train/tokens_per_second"]] == [1, 2, 3, 4, 5]
    assert shown.metrics["train/tokens_seen"][-1] == (5, 2560.0)
    assert shown.metrics["train/learning_rate"][-1] == (5, pytest.approx(0.05))
    assert shown.metrics["train/learning_rate_vectors"][-1] == (5, pytest.approx(0.1))
    assert shown.metrics["train/grad_norm"][0] == (1, 1.0)
    assert shown.metrics["pipeline/judge/documents_in"] == [(4, 10.0)]
    assert shown.metrics["pipeline/judge/dropped/gopher_quality.too_few_words"] == [(4, 2.0)]
    assert shown.metrics["pipeline/judge/documents_per_second"] == [(4, 5.0)]
    assert shown.metrics["pipeline/judge/bytes"] == [(4, 500.0)]
    assert shown.metrics["pipeline/judge/reused"] == [(4, 1.0)]
    assert shown.scores["scores/val_bits_per_byte"] == 3.5
    assert shown.parameters["training.steps"] == "5"
    assert shown.parameters["source.paths"] == '["a.warc.gz"]'
    assert shown.facts["recipe_digest"] == RECIPE.digest()
    assert shown.facts["corpus_digest"] == "82189f93"
    assert shown.facts["git_commit"] == "c0ffee"
    assert shown.facts["status"] == "completed"


def test_runs_of_one_recipe_stand_side_by_side_in_mlflow(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    store = Store(str(tmp_path))
    for _ in range(2):
        run = a_run()
        tell_all(track(store, ("mlflow",), run, []), run)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("minicrawl")
    best = client.search_runs([experiment.experiment_id], filter_string="metrics.`scores/val_bits_per_byte` < 4")
    assert len(best) == 2


def test_on_a_store_elsewhere_the_files_are_in_the_runs_folder_and_nothing_stays_behind(tmp_path, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    store, run, warnings = Store("memory://tracked"), a_run(), list[str]()
    tell_all(track(store, ALL, run, warnings), run)
    assert warnings == []
    copy = tmp_path / "copy"
    for name, folder in (("tensorboard", "tensorboard"), ("wandb", "wandb")):
        for path in names_below(store, f"runs/{RUN_ID}/{folder}"):
            target = copy / path.removeprefix(f"runs/{RUN_ID}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(store.read_bytes(path))
        assert [at for at, _ in READERS[name](copy, tmp_path / ".gristmill").metrics["train/loss"]] == [1, 2, 3, 4, 5]
    assert read_mlflow(copy, tmp_path / ".gristmill").scores["scores/val_bits_per_byte"] == 3.5
    assert list(scratch.glob("gristmill-tracking-*")) == []


def names_below(store: Store, folder: str) -> Iterator[str]:
    for name in store.names(folder):
        path = f"{folder}/{name}"
        below = [each for each in store.names(path) if each != name]
        if below:
            yield from names_below(store, path)
        else:
            yield path


def test_a_tracker_that_cannot_begin_is_named_once_and_the_others_go_on(tmp_path: Path) -> None:
    store, run, warnings = Store(str(tmp_path)), a_run(), list[str]()
    (tmp_path / "mlflow").write_text("where a folder should be")
    tell_all(track(store, ("mlflow", "tensorboard"), run, warnings), run)
    (warning,) = warnings
    assert "mlflow" in warning
    assert "the run goes on" in warning
    folder = tmp_path / "runs" / RUN_ID
    assert [at for at, _ in read_tensorboard(folder, tmp_path).metrics["train/loss"]] == [1, 2, 3, 4, 5]


def test_a_disk_that_is_full_ends_the_tracker_and_not_the_run(tmp_path: Path) -> None:
    """In a process of its own, which may write no file longer than 20 kB: the recipe fits, many steps do not."""
    script = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
from test_tracking import a_run, step, track
from pathlib import Path
from storage.store import Store
import flows.tracking.tensorboard_files  # compiled files are longer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write says that the file is too large
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
run, warnings = a_run(), []
tracking = track(Store({str(tmp_path)!r}), ("tensorboard",), run, warnings)
for number in range(1, 3000):
    tracking.training_step(step(number))
tracking.close(run)
print(*warnings, sep="\\n")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    (warning,) = done.stdout.splitlines()
    assert "tracking with tensorboard ends here" in warning
    assert "the run goes on" in warning


def test_a_library_that_is_not_installed_is_refused_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as Python has it for what cannot be imported
    check_trackers(("tensorboard", "wandb"))
    with pytest.raises(TrackerMissing, match=r"pip install 'gristmill\[mlflow\]'"):
        check_trackers(("tensorboard", "mlflow"))


def test_nothing_is_asked_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls out goes through the proxy that the environment names, which takes down who did."""
    with recording_proxy() as (address, callers):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        script = f"""
import sys
sys.path[:0] = {sys.path!r}
from test_tracking import ALL, a_run, tell_all, track
from pathlib import Path
from storage.store import Store
run, warnings = a_run(), []
tell_all(track(Store({str(tmp_path)!r}), ALL, run, warnings), run)
assert not warnings, warnings
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200, check=False
        )
    assert done.returncode == 0, done.stderr
    assert callers == []
    assert done.stdout == ""


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that notes the first line of what it is asked, and refuses."""
    callers: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                callers.append(connection.recv(200).partition(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", callers
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_event_files_cost_a_run_neither_pytorch_nor_a_second() -> None:
    script = """
import sys, time
import numpy, google.protobuf
began = time.process_time()
import flows.tracking.tensorboard_files
assert time.process_time() - began < 1.0
assert "torch" not in sys.modules
import tensorboardX  # whole, for whoever wants it
assert tensorboardX.SummaryWriter
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


def test_the_recipe_names_trackers_and_no_digest_knows_them() -> None:
    single = load_recipe("minicrawl", ["source.paths=a.warc.gz", "training.steps=5", "tracking=mlflow"])
    assert single.tracking == ("mlflow",)
    assert RECIPE.tracking == ("tensorboard",)
    assert (single.digest(), single.rules_digest()) == (RECIPE.digest(), RECIPE.rules_digest())
    assert load_recipe("minicrawl", ["source.paths=a.warc.gz", "tracking=[]"]).tracking == ()


def test_a_tracker_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"tracking.*'tensorboard', 'mlflow' or 'wandb'.*'tensorbord'"):
        load_recipe("minicrawl", ["source.paths=a.warc.gz", "tracking=tensorbord"])
