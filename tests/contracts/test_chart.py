"""The Helm chart renders, and what comes out is what Kubernetes takes and what containers should be."""

import json
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from sqlalchemy import text, update

from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from db.session import Sessions
from tests.factories import make_job, make_key

CHART = Path(__file__).parents[2] / "deploy/helm/packshot"
URLS = {
    "secret": {"databaseUrl": "postgresql://packshot:pw@db/packshot", "brokerUrl": "rediss://:pw@broker/0"},
    "storage": {"url": "s3://photos/packshot"},
}
EVERYTHING = {
    **URLS,
    "publicUrl": "https://packshot.example",
    "settings": {"EGRESS_ALLOW": "10.0.0.0/8", "MAX_MEGAPIXELS": 80},
    "image": {"registry": "registry.example/shop", "pullSecrets": [{"name": "pull"}]},
    "gpu": {"autoscaling": {"enabled": True}},
    "cpu": {"enabled": True, "autoscaling": {"enabled": True}},
    "api": {"ingress": {"enabled": True, "tlsSecret": "tls", "className": "nginx"}},
    "monitoring": {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboard": {"enabled": True}},
}
KUBERNETES = "1.34"


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values=values, name="demo", namespace="shop")
    manifests = [text for name, text in files.items() if name.endswith(".yaml")]
    return [each for manifest in manifests for each in yaml.safe_load_all(manifest) if each]


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return render(EVERYTHING)


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {**of_kind(manifests, "Deployment"), **of_kind(manifests, "Job")}
    return {name: each["spec"]["template"]["spec"] for name, each in found.items()}


def test_lint_finds_nothing() -> None:
    report = helm_python.lint(CHART, EVERYTHING, strict=True)
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    assert report["errors"] == []


def test_kubernetes_takes_what_is_rendered(everything: list[dict[str, Any]]) -> None:
    custom = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
    for manifest in everything:
        if manifest["kind"] not in custom:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert custom <= {manifest["kind"] for manifest in everything}
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in everything]
    assert len(names) == len(set(names))


def test_by_default_there_is_what_the_service_needs_and_no_more() -> None:
    names = {f"{each['kind']}/{each['metadata']['name']}" for each in render(URLS)}
    assert names == {
        "Deployment/demo-api",
        "Deployment/demo-gpu",
        "Deployment/demo-io",
        "Deployment/demo-sweeper",
        "HorizontalPodAutoscaler/demo-api",
        "Job/demo-migrate",
        "PodDisruptionBudget/demo-api",
        "PodDisruptionBudget/demo-gpu",
        "PodDisruptionBudget/demo-io",
        "Secret/demo-urls",
        "Service/demo-api",
        "ServiceAccount/demo",
    }


def test_every_container_is_nobody_and_writes_to_volumes_alone(everything: list[dict[str, Any]]) -> None:
    assert len(pods(everything)) == 6
    for pod in pods(everything).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert "memory" in container["resources"]["limits"]
        assert not [entry for entry in container["env"] if "pw" in str(entry.get("value"))]


def test_settings_of_pods_exist(everything: list[dict[str, Any]]) -> None:
    [container] = pods(everything)["demo-gpu"]["containers"]
    names = {entry["name"].removeprefix("PACKSHOT_").lower() for entry in container["env"]}
    assert names <= Settings.model_fields.keys()
    assert {"database_url", "broker_url", "storage_url", "egress_allow", "max_megapixels", "public_url"} <= names
    assert container["image"] == "registry.example/shop/packshot-worker-cuda:0.1.0"


def test_workers_get_the_time_and_the_memory_that_they_need(everything: list[dict[str, Any]]) -> None:
    for name, pod in pods(everything).items():
        if name not in {"demo-api", "demo-migrate"}:
            assert pod["terminationGracePeriodSeconds"] >= 2 * Settings().shutdown_s
            [container] = pod["containers"]
            assert container["livenessProbe"]["exec"]["command"][:2] == ["packshot", "health"]
    for name in ("demo-gpu", "demo-cpu"):
        [shared] = [volume for volume in pods(everything)[name]["volumes"] if volume["name"] == "shared-memory"]
        assert shared["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


def test_the_api_has_room_for_the_largest_upload(everything: list[dict[str, Any]]) -> None:
    [scratch] = [volume for volume in pods(everything)["demo-api"]["volumes"] if volume["name"] == "tmp"]
    gibibytes = int(scratch["emptyDir"]["sizeLimit"].removesuffix("Gi"))
    assert Settings().batch_max_archive_bytes < gibibytes * 2**30


def test_migrations_run_before_anything_else(everything: list[dict[str, Any]]) -> None:
    job, secret = of_kind(everything, "Job")["demo-migrate"], of_kind(everything, "Secret")["demo-urls"]
    hooks = [each["metadata"]["annotations"] for each in (secret, job)]
    assert {hook["helm.sh/hook"] for hook in hooks} == {"pre-install,pre-upgrade"}
    weights = [int(hook["helm.sh/hook-weight"]) for hook in hooks]
    assert weights == sorted(weights)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]


def test_a_secret_that_is_there_is_taken() -> None:
    manifests = render({**URLS, "secret": {"existing": "mine"}})
    assert of_kind(manifests, "Secret") == {}
    [container] = pods(manifests)["demo-io"]["containers"]
    taken = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert taken == [{"name": "mine", "key": "database-url"}, {"name": "mine", "key": "broker-url"}]


@pytest.mark.parametrize(
    "bad",
    [
        {**URLS, "storage": {"url": "ftp://x"}},
        {**URLS, "secret": {"databaseUrl": "mysql://x", "brokerUrl": "redis://x"}},
        {**URLS, "gpu": {"replica": 3}},
        {**URLS, "gpu": {"gracePeriodSeconds": 5}},
        {**URLS, "settings": {"egress_allow": "x"}},
    ],
)
def test_values_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, bad)
    failed = [message for message in report["messages"] if message["severity"] > 2]
    assert failed or report["errors"]


@pytest.mark.parametrize("missing", ["secret", "storage"])
def test_what_has_no_default_is_asked_for(missing: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=missing):
        render({name: value for name, value in URLS.items() if name != missing})


def test_the_autoscaler_counts_work_in_the_database(everything: list[dict[str, Any]], sessions: Sessions) -> None:
    scaled = of_kind(everything, "ScaledObject")
    assert scaled.keys() == {"demo-gpu", "demo-cpu"}
    [trigger] = scaled["demo-gpu"]["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    query = trigger["metadata"]["query"]
    with sessions.begin() as session:
        assert session.scalars(text(query)).one() == 0
        key = make_key(session).id
        jobs = [make_job(session, key).id for _ in range(3)]
        make_job(session, key, source="https://shop.example/a.jpg")  # not a gpu worker's before it is fetched
        running = {"status": JobStatus.PROCESSING, "leased_until": text("now() + interval '1 minute'"), "attempt": 1}
        session.execute(update(Job).where(Job.id == jobs[0]).values(**running))
        session.execute(update(Job).where(Job.id == jobs[1]).values(crashes=1))
        assert session.scalars(text(query)).one() == 3
        session.connection().exec_driver_sql("SET enable_seqscan = off")
        plan = session.scalars(text(f"EXPLAIN {query}")).all()
        assert not [line for line in plan if "Seq Scan" in line], plan


def test_values_and_schema_name_the_same_things() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert values.keys() == schema["properties"].keys() - {"global"}
