"""`packshot listen`: events of a running service on this screen, each one verified. Needs no address of its own.

A listener registers an endpoint without a URL and pulls from it, so it works behind any router, and the service's
guard against calls into private networks has nothing to open.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from cli.caller import service_key, service_url
from cli.output import console, errors, fail
from cli.up import stop_signals
from config.settings import Settings
from packshot_client import PackshotError

_PAUSE_S = 1.0
_TIMEOUT_S = 30.0
_AWAY_PAUSE_S = 3.0
_FORWARDED = ("webhook-id", "webhook-timestamp", "webhook-signature")
_COLOURS = {"succeeded": "green", "completed": "green", "failed": "red", "canceled": "yellow", "expired": "yellow"}


@dataclass(frozen=True)
class Arrived:
    """One event as it came; `problem` says why it is not to be trusted, None where the signature is good."""

    body: str
    headers: dict[str, str]
    problem: str | None


@dataclass
class Listener:
    """Registers, pulls, verifies, acknowledges, and takes itself off again. `http` knows the service and the key."""

    http: httpx.Client
    events: Sequence[str]
    show: Callable[[Arrived], None]
    pause_s: float = _PAUSE_S
    _seen: deque[str] = field(default_factory=lambda: deque(maxlen=1000))

    def run(self, stop: threading.Event, *, ready: Callable[[str], None] = lambda _: None) -> None:
        """Show what happens from now on until `stop`; `ready` is told the secret. `PackshotError`."""
        body = {"url": None, "events": list(self.events), "description": "packshot listen"}
        endpoint = self._call("POST", "/v1/webhook-endpoints", body)
        page = f"/v1/webhook-endpoints/{endpoint['id']}"
        try:
            ready(endpoint["secret"])
            self._pull(f"{page}/pull", Webhook(endpoint["secret"]), stop)
        finally:
            self._call("DELETE", page)

    def _pull(self, page: str, judge: Webhook, stop: threading.Event) -> None:
        arrived: list[str] = []
        while not stop.is_set():
            try:
                pulled = self._call("POST", page, {"arrived": arrived, "limit": 100})["data"]
            except httpx.TransportError as error:  # it restarts, or the laptop slept: what was taken comes again
                errors.print(f"The service does not answer ({error}); trying again.", markup=False)
                stop.wait(_AWAY_PAUSE_S)
                continue
            for event in pulled:
                self._take(event, judge)
            arrived = [event["delivery_id"] for event in pulled]
            if not pulled:
                stop.wait(self.pause_s)
        if arrived:
            self._call("POST", page, {"arrived": arrived, "limit": 1})

    def _take(self, event: dict[str, Any], judge: Webhook) -> None:
        """Show an event that was not shown before: at least once is what is promised."""
        headers: dict[str, str] = event["headers"]
        if headers["webhook-id"] in self._seen:
            return
        problem = None
        try:
            judge.verify(event["body"], headers)
        except WebhookVerificationError as error:
            problem = str(error)
        self._seen.append(headers["webhook-id"])
        self.show(Arrived(event["body"], headers, problem))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        reply = self.http.request(method, path, json=body)
        if reply.is_error:
            raise PackshotError(f"{reply.status_code}: {reply.text}")
        answer: dict[str, Any] = reply.json() if reply.content else {}
        return answer


def listen(
    url: Annotated[str | None, typer.Option(help="The service; the one on this machine by default.")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="API key; PACKSHOT_KEY, or that of `packshot up` in the data folder, by default."),
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="Only these: job.succeeded, job.*, batch.*, ...; all by default.")
    ] = None,
    forward_to: Annotated[
        str | None, typer.Option(help="POST each event to this URL, too, such as http://localhost:3000/hooks.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One event a line, as it came.")] = False,
) -> None:
    """Print events as they happen, each one's signature verified, until Ctrl-C. Registers itself and unregisters."""
    settings = Settings()
    base = service_url(url, settings)
    headers = {"Authorization": f"Bearer {service_key(key, settings)}"}

    def show(arrived: Arrived) -> None:
        _print(arrived, as_json=as_json)
        if forward_to is not None:
            _forward(arrived, forward_to)

    def ready(secret: str) -> None:
        errors.print(f"Listening to {base}. Ctrl-C stops it.", markup=False)
        if forward_to is not None:
            errors.print(f"Events go on to {forward_to}, signed with {secret}", markup=False)

    with (
        httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http,
        stop_signals() as stop,
    ):
        try:
            Listener(http, event or ["*"], show).run(stop, ready=ready)
        except (PackshotError, httpx.TransportError) as error:
            raise fail(escape(f"{base}: {error}")) from None


def _print(arrived: Arrived, *, as_json: bool) -> None:
    if arrived.problem is not None:
        errors.print(f"[red]not verified[/red] {arrived.headers['webhook-id']}: {escape(arrived.problem)}")
        return
    if as_json:
        console.print(arrived.body, markup=False)
        return
    body = json.loads(arrived.body)
    data = body["data"]
    at = datetime.fromisoformat(body["timestamp"]).astimezone()
    colour = _COLOURS.get(body["type"].rpartition(".")[2], "cyan")
    parts = [f"{name} {value}" for name, value in _details(data).items()]
    subject = data.get("id") or data.get("endpoint_id", "")
    console.print(f"{at:%H:%M:%S}  [{colour}]{body['type']:<16}[/{colour}] {subject}  {escape('  '.join(parts))}")


def _details(data: dict[str, Any]) -> dict[str, str]:
    """What is worth a place on the line."""
    details = {}
    if data.get("verdict"):
        details["verdict"] = " ".join([data["verdict"], *data["reasons"]])
    if data.get("error"):
        details["error"] = f"{data['error']['code']}: {data['error']['detail']}"
    if data.get("request_counts"):
        details["counts"] = " ".join(f"{name}={count}" for name, count in data["request_counts"].items())
    if data.get("labels"):
        details["labels"] = " ".join(f"{name}={value}" for name, value in data["labels"].items())
    return details


def _forward(arrived: Arrived, url: str) -> None:
    """Hand an event on as the service would send it, to a program of whoever sits here."""
    if arrived.problem is not None:
        return
    headers = {"Content-Type": "application/json", **{name: arrived.headers[name] for name in _FORWARDED}}
    try:
        reply = httpx.post(url, content=arrived.body.encode(), headers=headers, timeout=_TIMEOUT_S, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        errors.print(f"  {url}: {error}", markup=False)
    else:
        console.print(f"          -> {url}: {reply.status_code}", markup=False)
