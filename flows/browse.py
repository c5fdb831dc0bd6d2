"""The documents of a run as web pages, on this machine: which run, which pages, and what a stranger may not do.

Texts, titles and URLs are hostile, and so may be a web page that is open in another tab of the same browser. Nothing
that was crawled becomes more than text (`pipeline_lib.browse.pages`), no parameter of a request becomes a path, nothing
is written, and a request that comes by a name that is not this server's own is refused.
"""

import ipaddress
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.why import rules_asked
from pipeline_lib.browse.documents import DocumentTable, read_document_table
from pipeline_lib.browse.lists import found_page, list_page, search_texts
from pipeline_lib.browse.pages import (
    CONTENT_SECURITY_POLICY,
    ErrorPage,
    RunHead,
    render_document,
    render_error,
    render_list,
    script,
    style,
)
from pipeline_lib.browse.published import PublishedTables
from pipeline_lib.browse.selection import Mask, NoSuchChoice, Selection, search, select
from pipeline_lib.browse.single import Asked, document_page
from pipeline_lib.browse.views import View, WrongAddress, check_doc_id, read_view
from pipeline_lib.filters.stage import recorded_filters
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.report.excerpts import one_line
from storage.manifests import MissingStage, open_stage
from storage.runs import Run, load_run
from storage.store import Store
from storage.tables import DamagedFile, SchemaMismatch
from storage.wrong_request import WrongRequest

DEFAULT_PORT = 4280
LOOPBACK = "127.0.0.1"

_LOOK_SECONDS = 2.0  # a run that goes on is looked at again no sooner
_REMEMBERED = 8  # selections and searches: 4 MB and 1 MB each of a million documents
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-cache",
}
_REPORT_POLICY = "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"  # beside the one that it brings along

Value = TypeVar("Value")


class NoSuchDocument(LookupError):
    """No document of the run has that id."""


class PortTaken(WrongRequest):
    """Something else listens where the server was to."""


@dataclass(kw_only=True)
class _Recent:
    """What was made last, by what it was made of."""

    made: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self.made:
            self.made[key] = make()
        self.made.move_to_end(key)
        while len(self.made) > _REMEMBERED:
            self.made.popitem(last=False)
        value: Value = self.made[key]
        return value


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The state of a run that is shown, read once. One request at a time looks through all documents, and one through
    texts, which takes seconds; the others wait only for the first."""

    run: Run
    published: PublishedTables
    table: DocumentTable
    asked: Asked | None
    selecting: threading.Lock = field(default_factory=threading.Lock)
    searching: threading.Lock = field(default_factory=threading.Lock)
    selections: _Recent = field(default_factory=_Recent)
    searches: _Recent = field(default_factory=_Recent)

    def selection(self, view: View) -> Selection:
        """The documents of a view; a search in texts comes after it."""
        phrase = "" if view.searches_texts else view.phrase
        order = "source" if view.searches_texts else view.order
        with self.selecting:
            found: Mask | None = None
            if phrase:
                found = self.searches.get(phrase, lambda: search(self.published, self.table, phrase))
            return self.selections.get(
                (view.filters, phrase, order), lambda: select(self.table, view.filters, order, found=found)
            )


class Browser:
    """The documents of one run, as pages. A run that goes on is read again when it has come further."""

    def __init__(self, store: Store, run: Run) -> None:
        """
        Raises:
            WrongRequest: the run has ended, and extracted nothing.
        """
        if run.stage("extract") is None and run.status != "running":
            raise WrongRequest(
                f"run {run.run_id} extracted nothing ({run.status}): it has no documents to look at; "
                "`gristmill runs` lists the others"
            )
        self._store = store
        self._reading = threading.Lock()
        self._shown = _read(store, run)
        self._looked = time.monotonic()

    @property
    def num_documents(self) -> int:
        return len(self._shown.table)

    def head(self) -> RunHead:
        """What all pages say of the run."""
        return _head(self._shown)

    def list_page(self, view: View) -> str:
        """
        Raises:
            NoSuchChoice: a filter names what the run does not have.
        """
        shown = self._current()
        selection = shown.selection(view)
        head = _head(shown)
        if view.searches_texts:
            with shown.searching:
                found = search_texts(shown.published, shown.table, selection, view)
            return render_list(found_page(head, view, shown.published, shown.table, selection, found))
        return render_list(list_page(head, view, shown.published, shown.table, selection))

    def document_page(self, doc_id: str, view: View) -> str:
        """
        Raises:
            NoSuchDocument: the run has none of that id.
        """
        shown = self._current()
        position = shown.table.find(doc_id)
        if position is None:
            raise NoSuchDocument(f"The run {shown.run.run_id} has no document {doc_id}.")
        return render_document(
            document_page(
                _head(shown),
                view,
                shown.published,
                shown.table,
                shown.selection(view),
                position,
                asked=shown.asked,
                earlier={each.entry: each.run_id for each in shown.run.earlier},
            )
        )

    def report(self) -> bytes:
        """The run's report page.

        Raises:
            NoSuchDocument: it has none yet.
        """
        path = self._current().run.paths.get("report")
        if path is None:
            raise NoSuchDocument("This run has no report yet: it is written last.")
        return self._store.read_bytes(path)

    def _current(self) -> _Shown:
        """The run as it is now, or was a moment ago."""
        shown = self._shown
        if time.monotonic() - self._looked < _LOOK_SECONDS or not self._reading.acquire(blocking=False):
            return shown
        try:
            run = load_run(self._store, shown.run.run_id)
            if [each.address for each in run.stages] != [each.address for each in shown.run.stages]:
                self._shown = _read(self._store, run)
            elif run.status != shown.run.status or run.paths != shown.run.paths:
                self._shown = replace(shown, run=run)
            return self._shown
        except (WrongRequest, MissingStage, DamagedFile, OSError):
            return shown  # its record or a stage is being written anew: what was read stays right
        finally:
            self._looked = time.monotonic()
            self._reading.release()


def browse_app(browser: Browser, host: str = LOOPBACK) -> ASGIApp:
    """The server's pages. `host`: where it listens."""

    def documents(request: Request) -> Response:
        return HTMLResponse(browser.list_page(read_view(request.query_params.multi_items())))

    def document(request: Request) -> Response:
        doc_id = check_doc_id(request.path_params["doc_id"])
        return HTMLResponse(browser.document_page(doc_id, read_view(request.query_params.multi_items())))

    def report(_: Request) -> Response:
        return HTMLResponse(browser.report(), headers={"content-security-policy": _REPORT_POLICY})

    def style_sheet(_: Request) -> Response:
        return Response(style(), media_type="text/css")

    def keys(_: Request) -> Response:
        return Response(script(), media_type="text/javascript")

    def refused(status: int, title: str) -> Callable[[Request, Exception], Response]:
        def answer(_: Request, error: Exception) -> Response:
            page = ErrorPage(head=browser.head(), title=title, message=one_line(str(error), 1_000))
            return HTMLResponse(render_error(page), status_code=status)

        return answer

    def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return refused(404, "No such page")(request, LookupError("There is nothing at this address."))
        response = refused(error.status_code, "Not possible")(request, ValueError(error.detail))
        response.headers.update(error.headers or {})
        return response

    unreadable = refused(503, "It cannot be read")
    return Starlette(
        routes=[
            Route("/", documents),
            Route("/documents/{doc_id}", document),
            Route("/report", report),
            Route("/look.css", style_sheet),
            Route("/browse.js", keys),
        ],
        middleware=[Middleware(_Guard, names=own_names(host))],
        exception_handlers={
            HTTPException: http_error,
            WrongAddress: refused(400, "This address means nothing here"),
            NoSuchChoice: refused(400, "This address means nothing here"),
            NoSuchDocument: refused(404, "No such document"),
            DamagedFile: unreadable,
            SchemaMismatch: unreadable,
            MissingStage: unreadable,
            OSError: unreadable,
            Exception: refused(500, "Something went wrong"),
        },
    )


def own_names(host: str) -> frozenset[str]:
    """The names by which a server that listens at `host` may be asked, beside addresses."""
    return frozenset({"localhost", host.lower(), socket.gethostname().lower()})


def is_own(host_header: str, names: frozenset[str]) -> bool:
    """Whether a request is meant for this server: it comes by an address, or by a name that is the server's own.

    Any other name belongs to somebody who let it point here, so that a page of theirs may read what the browser sees
    (DNS rebinding).
    """
    name = host_header.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


class _Guard:
    """Refuses what is not meant for this server, and says with every answer what a browser may do with it."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope.get("headers", []) if name == b"host"]
        if scope["type"] == "http" and (len(hosts) != 1 or not is_own(hosts[0], self._names)):
            refusal = PlainTextResponse("This server does not go by that name: ask it by its address.\n", 421)
            await refusal(scope, receive, guarded)
            return
        if scope["type"] == "http" and _is_fetched_by_others(Headers(scope=scope)):
            refusal = PlainTextResponse("Pages of others may link to this server, not fetch from it.\n", 403)
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def _is_fetched_by_others(headers: Headers) -> bool:
    """Whether a page of another site asks in the background, as browsers tell; it could not read the answer, but each
    question costs a look through all documents."""
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens; without a port at the usual one, or, where that is taken, at any.

    Raises:
        PortTaken: something else listens at the port that was asked for, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in (port,) if port is not None else (DEFAULT_PORT, 0):
        try:
            return socket.create_server((host, candidate), family=family)
        except OSError as error:
            problem = error
    raise PortTaken(f"cannot listen at {host}, port {port or DEFAULT_PORT} ({problem}); choose another with --port")


def address_of(listener: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = LOOPBACK if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(browser: Browser, listener: socket.socket, host: str) -> None:
    """Answer requests until the process is interrupted."""
    threading.Thread(target=_warm_up, daemon=True).start()
    config = uvicorn.Config(
        browse_app(browser, host), log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _warm_up() -> None:
    """Load the kernels that the first document needs, while nobody has asked for one yet."""
    mask_addresses(pa.table({"doc_id": ["0"], "text": ["someone@example.org, 192.0.2.1"]}), PrivacyParameters())


def _read(store: Store, run: Run) -> _Shown:
    published = PublishedTables({each.name: open_stage(store, each.address) for each in run.stages})
    try:
        judged = "judge" in published.stages and bool(published.signal_names)
        conditions = recorded_filters(published.stages["judge"].manifest).conditions() if judged else ()
    except ValidationError as error:
        raise WrongRequest(
            f"the rules of run {run.run_id} are not ones that this version reads; run it again: {error}"
        ) from error
    asked = None
    if judged:

        def asked(signals: Mapping[str, float], document: Mapping[str, Any]) -> list[dict[str, Any]]:
            return rules_asked(conditions, signals, document)

    table = read_document_table(published)
    pa.default_memory_pool().release_unused()  # what was read on the way is several times as large as the table
    return _Shown(run=run, published=published, table=table, asked=asked)


def _head(shown: _Shown) -> RunHead:
    run = shown.run
    return RunHead(
        run_id=run.run_id,
        recipe_name=run.recipe_name,
        created_at=run.created_at.replace("T", " ").replace("+00:00", " UTC"),
        corpus_digest=(run.corpus_digest or "")[:12],
        num_documents=len(shown.table),
        report_address="/report" if "report" in run.paths else None,
        notice=_notice(shown),
    )


def _notice(shown: _Shown) -> str:
    """What a reader should know of an unfinished run."""
    run = shown.run
    stages = [each.name for each in run.stages]
    last = f"its last finished stage is {stages[-1]}" if stages else "no stage of it has finished yet"
    if run.status == "running":
        return f"This run is still going: {last}. Reload to see more of it."
    if run.status != "completed":
        reason = f" ({one_line(run.error, 200)})" if run.error else ""
        return f"This run is {run.status}{reason}: {last}. What is shown as kept may still have been dropped later."
    return ""
