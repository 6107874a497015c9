"""Alerts and dashboard ask for metrics that there are, and each alert has its section in the runbook."""

import json
import re
from pathlib import Path
from typing import Any, cast

import promql_parser
import pytest
import yaml

from api.metrics import Metrics
from config.settings import Settings
from db.session import Sessions
from storage.guarded import guard
from storage.port import Storage
from worker.metrics import WorkerMetrics
from worker.pulse import Pulse
from worker.store_gate import StoreGate

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy/helm/packshot/files"
UNITS = ("_seconds", "_bytes", "_total")
COUNTS = {
    "packshot_jobs",
    "packshot_workers",
    "packshot_waiting_requests",
    "packshot_database_up",
    "packshot_due_jobs",
    "packshot_due_errands",
    "packshot_worker_held_jobs",
    "packshot_storage_left_alone",
    "packshot_worker_storage_left_alone",
    "packshot_worker_microbatch_images",
}


def metrics() -> dict[str, frozenset[str]]:
    """Every series that our processes show, with its labels; buckets have `le` besides. Nothing is asked for."""
    api = Metrics(cast("Sessions", None), workers_within_s=1, waiting=lambda: 0)
    worker = WorkerMetrics()
    worker.follow(Pulse())
    storage = guard(cast("Storage", None), Settings())
    api.follow(storage)
    worker.follow_store(StoreGate(storage, Settings()))
    found: dict[str, frozenset[str]] = {}
    for registry in (api._registry, worker.registry):
        for name, collector in registry._names_to_collectors.items():
            if name.startswith("packshot_") and not name.endswith("_created"):
                labels = frozenset(getattr(collector, "_labelnames", ()))
                found[name] = labels | ({"le"} if name.endswith("_bucket") else frozenset())
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((FILES / "dashboard.json").read_text())["panels"]


QUERIES = [rule["expr"] for rule in rules()] + [each["expr"] for panel in panels() for each in panel["targets"]]


def test_metrics_are_named_after_base_units_and_label_no_job() -> None:
    known = metrics()
    plain = {name for name in known if not name.endswith(("_bucket", "_count", "_sum"))}
    odd = {name for name in plain if not name.endswith(UNITS)} - COUNTS
    assert {name for name in odd if f"{name}_total" not in plain} == set()
    labels = set().union(*known.values())
    assert labels <= {"method", "route", "status", "kind", "lane", "outcome", "code", "stage", "step", "le"}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_good_promql_over_metrics_that_there_are(query: str) -> None:
    promql_parser.parse(query)
    known = metrics()
    named = set(re.findall(r"\b(packshot_\w+)", query))
    assert named, query
    assert named <= known.keys(), query


def test_every_metric_is_somewhere_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(QUERIES)
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics()}
    families = {name for name in families if f"{name}_total" not in families}
    assert {name for name in families if name not in asked} <= {"packshot_oldest_job_age_seconds"}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (Packshot\w+)$", text, re.MULTILINE)
    assert sections == [rule["alert"] for rule in rules()]
    assert {rule["labels"]["severity"] for rule in rules()} == {"warning", "critical"}


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
