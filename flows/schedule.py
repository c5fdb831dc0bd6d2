"""A schedule: a deployment at the Prefect server, and one process that begins its runs when their time has come.

Prefect's own runner would do most of this, but it ends what is at work when its server is away for a while, and begins
every run that was missed. Here a run goes on without a server, which is started again where it is ours; times that
passed unattended are skipped and said so. The next run is planned here, too: the server's own service for that fails
with some versions of its libraries (Prefect 3.8 with SQLAlchemy 2.1), without a word.

Each run is a process of its own (`python -m prefect.engine`): it reads the recipe anew, and its memory is free again
when it ends.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.schedules import Cron, Interval, Schedule
from prefect.server.schemas import schedules as server_schedules
from prefect.states import Cancelled, Crashed, Pending, Scheduled
from prefect.types.entrypoint import EntrypointType

from flows.schedule_times import Due, Times, choose_due, first_date
from flows.scheduled import TAG, scheduled_run
from flows.server import Server, ServerFailed, revive_server
from storage.runs import this_host

_POLL_SECONDS = 5.0
_PLANNED = "planned"  # tag of runs that a process like this one planned
_LOOK_AGAIN = timedelta(seconds=60)  # at the deployment, which somebody may have paused or changed
_ENDING_SECONDS = 90.0  # for a run to end its workers and write its record
_KINDS: dict[type, Any] = {  # the client's classes know no dates
    CronSchedule: server_schedules.CronSchedule,
    IntervalSchedule: server_schedules.IntervalSchedule,
    RRuleSchedule: server_schedules.RRuleSchedule,
}
_AWAY = (httpx.HTTPError, PrefectHTTPStatusError, OSError)


@dataclass(kw_only=True)
class ScheduleProcess:
    """Begins the runs of one deployment, one at a time, until it is told to stop.

    Attributes:
        say: tells the person at the terminal.
        poll_seconds: between looks at the server.
        num_done, num_failed: runs that ended, and those of them that did not complete.
    """

    server: Server
    deployment_id: UUID
    say: Callable[[str], None]
    poll_seconds: float = _POLL_SECONDS
    num_done: int = 0
    num_failed: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    _is_away: bool = False
    _is_paused: bool = False
    _planned: datetime | None = None
    _look_again: datetime = field(default_factory=lambda: datetime.now(UTC))

    def work(self, max_runs: int | None = None) -> None:
        """Begin runs when they are due; returns when stopped, or after `max_runs` runs."""
        # a look at the clock of this machine only: the server of a team may be a little off
        since = datetime.now(UTC) - timedelta(seconds=2 * self.poll_seconds)
        with SyncPrefectClient(self.server.api_url) as client:
            self._asked(lambda: _crash_dead_runs(client, self.deployment_id))
            self._asked(lambda: _forget_planned(client, self.deployment_id))  # by a process before, at other times
            while not self.stopping.is_set() and (max_runs is None or self.num_done < max_runs):
                self._asked(lambda: self._plan_next(client))
                due = self._asked(lambda: self._claim_due(client, since))
                if due is None:
                    self.stopping.wait(self.poll_seconds)
                    continue
                self._run(client, due)

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Begin nothing more, and end what is at work; may be a signal's handler."""
        self.stopping.set()

    def _plan_next(self, client: SyncPrefectClient) -> None:
        """Have the server know the next run, by the times that the deployment has now: the UI may have changed them."""
        now = datetime.now(UTC)
        if self._planned is not None and now <= self._planned and now < self._look_again:
            return
        self._look_again = now + _LOOK_AGAIN
        deployment = client.read_deployment(self.deployment_id)
        upcoming = None if deployment.paused else _first_of(deployment.schedules, now)
        if self._planned is not None and self._planned > now and (upcoming is None or upcoming[0] != self._planned):
            _forget_planned(client, self.deployment_id)
        if upcoming is None:
            if self._planned is not None or not self._is_paused:
                self.say("no next run: the schedule is paused, in the Prefect UI")
            self._planned, self._is_paused = None, True
            return
        at, schedule_id = upcoming
        if at != self._planned:
            client.create_flow_run_from_deployment(
                self.deployment_id,
                state=Scheduled(scheduled_time=at, message="Flow run scheduled"),
                # the server's own key for it, where that plans runs, too: none is planned twice
                idempotency_key=f"scheduled {self.deployment_id} {schedule_id} {at}",
                tags=[_PLANNED],
            )
            self.say(f"next run {_clock(at)}")
        self._planned, self._is_paused = at, False

    def _claim_due(self, client: SyncPrefectClient, since: datetime) -> Due | None:
        """The run to begin now, if any; the server has given it to us and to nobody else."""
        planned = client.get_scheduled_flow_runs_for_deployments(
            [self.deployment_id], scheduled_before=datetime.now(UTC)
        )
        due = [
            Due(flow_run_id=str(each.id), at=each.expected_start_time or each.next_scheduled_start_time or since)
            for each in planned
        ]
        chosen, skipped = choose_due(due, since)
        for each in skipped:
            reason = (
                "a later time had come when the run before it ended"
                if each.at >= since
                else "no process was there to begin it; `gristmill backfill` builds crawls that were missed"
            )
            self.say(f"skipped {_clock(each.at)}: {reason}")
            _set_state(client, each.flow_run_id, Cancelled(name="Skipped", message=reason))
        if chosen is None:
            return None
        return chosen if _set_state(client, chosen.flow_run_id, Pending()) else None

    def _run(self, client: SyncPrefectClient, due: Due) -> None:
        self.say(f"begun {_clock(datetime.now(UTC))} for {_clock(due.at)}")
        # a session of its own: Ctrl-C at the terminal reaches this process, which then ends the run in order
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect.engine", due.flow_run_id],
            env={**os.environ, "PREFECT__FLOW_RUN_ID": due.flow_run_id},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        mine = f"{this_host()}:{process.pid}"
        self._asked(lambda: client.update_flow_run(UUID(due.flow_run_id), infrastructure_pid=mine))
        is_cancelled = False
        try:
            while process.poll() is None and not self.stopping.is_set() and not is_cancelled:
                _wait(process, self.stopping, self.poll_seconds)
                state = self._asked(lambda: _state_of(client, due.flow_run_id))
                is_cancelled = state is not None and state.type == StateType.CANCELLING
        finally:
            was_ended = process.poll() is None
            _end(process)
        self.num_done += 1
        if is_cancelled:
            self._asked(lambda: _set_state(client, due.flow_run_id, Cancelled(), force=True))
        self._say_ended(client, due, process.returncode, was_ended)

    def _say_ended(self, client: SyncPrefectClient, due: Due, code: int, was_ended: bool) -> None:
        state = self._asked(lambda: _state_of(client, due.flow_run_id))
        if state is not None and not state.is_final():  # it died without a word
            crashed: State[Any] = Crashed(
                message="stopped by hand" if was_ended else f"its process ended with code {code}"
            )
            self._asked(lambda: _set_state(client, due.flow_run_id, crashed, force=True))
            state = crashed
        completed = code == 0 if state is None else state.is_completed()
        self.num_failed += not completed
        told = f"code {code}" if state is None else f"{state.name}{f': {state.message}' if state.message else ''}"
        self.say(f"ended {_clock(datetime.now(UTC))}: {told}")
        if not completed and not was_ended:
            self.say("the schedule goes on; what was published stays, and the next run continues from there")

    def _asked(self, question: Callable[[], Any]) -> Any:
        """What the server answers; None while it does not answer, and one that is ours is started again."""
        try:
            answer = question()
        except _AWAY as error:
            self._look_after_server(error)
            return None
        if self._is_away:
            self._is_away = False
            self.say("the Prefect server answers again")
        return answer

    def _look_after_server(self, error: Exception) -> None:
        try:
            if revive_server(self.server):
                self.say("the Prefect server was gone; it is started again")
                return
        except ServerFailed as failed:
            error = failed
        if not self._is_away:
            self._is_away = True
            self.say(f"the Prefect server at {self.server.api_url} does not answer; waiting for it ({error})")


def deploy(name: str, times: Times, parameters: dict[str, Any], description: str) -> UUID:
    """Register the deployment with its schedule, or change the one of that name; its id."""
    schedule: Schedule = (
        Cron(times.cron or "", timezone=times.timezone)
        if times.every is None
        else Interval(times.every, anchor_date=datetime.now(UTC))
    )
    deployment = scheduled_run.to_deployment(
        name=name,
        schedule=schedule,
        parameters=parameters,
        description=description,
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,  # wherever the process is started
    )
    assert isinstance(deployment, RunnerDeployment)  # not awaited: nothing runs an event loop here
    found = deployment.apply()
    assert isinstance(found, UUID)
    return found


def _first_of(schedules: Iterable[DeploymentSchedule], now: datetime) -> tuple[datetime, UUID] | None:
    """The first time after `now` of the schedules that are switched on, and whose it is."""
    found = []
    for each in schedules:
        at = first_date(_KINDS[type(each.schedule)].model_validate(each.schedule.model_dump()), now)
        if each.active and at is not None:
            found.append((at, each.id))
    return min(found, default=None)


def begin_now(server: Server, deployment_id: UUID) -> None:
    """Plan one run for this moment."""
    with SyncPrefectClient(server.api_url) as client:
        client.create_flow_run_from_deployment(deployment_id)


@contextmanager
def stopped_by_signals(process: ScheduleProcess) -> Iterator[None]:
    """Ctrl-C and the end signal stop the process in order; as before, afterwards."""
    before = {number: signal.signal(number, process.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _runs_in(client: SyncPrefectClient, deployment_id: UUID, *types: StateType) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
        )
    )


def _forget_planned(client: SyncPrefectClient, deployment_id: UUID) -> None:
    """Take back runs that were planned for times to come which are not the schedule's any more."""
    now = datetime.now(UTC)
    for each in _runs_in(client, deployment_id, StateType.SCHEDULED):
        if _PLANNED in each.tags and each.expected_start_time is not None and each.expected_start_time > now:
            client.delete_flow_run(each.id)


def _crash_dead_runs(client: SyncPrefectClient, deployment_id: UUID) -> None:
    """Show runs as crashed that a process of this machine began which is gone: they would run for ever."""
    for each in _runs_in(client, deployment_id, StateType.RUNNING, StateType.PENDING):
        host, _, pid = (each.infrastructure_pid or "").rpartition(":")
        if host == this_host() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            _set_state(client, str(each.id), Crashed(message="its process ended without a word"), force=True)


def _wait(process: "subprocess.Popen[bytes]", stopping: threading.Event, seconds: float) -> None:
    """Until the process ends, or it is time to stop, but no longer than that."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if stopping.wait(0.2):
            return


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a run as the end signal does: its workers end, its record says so, what is published stays."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its workers
        process.wait()


def _state_of(client: SyncPrefectClient, flow_run_id: str) -> "State[Any] | None":
    try:
        return client.read_flow_run(UUID(flow_run_id)).state
    except ObjectNotFound:
        return None


def _set_state(client: SyncPrefectClient, flow_run_id: str, state: "State[Any]", force: bool = False) -> bool:
    """Whether the server took it."""
    try:
        return client.set_flow_run_state(UUID(flow_run_id), state, force=force).status == SetStateStatus.ACCEPT
    except ObjectNotFound:
        return False


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
