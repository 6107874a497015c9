"""Versions, promotions, and workers that follow them; on a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select
from structlog.testing import CapturingLogger

from config.settings import Settings
from db.base import JobStatus
from db.session import Sessions
from db.worker_models import ModelVersion
from jobs import registry
from jobs.models import Models as JobModels
from jobs.params import JobParams
from jobs.registry import Catalog, RegistryError
from tests.fakes import FakeSegmenter, fake_spec, registered_fakes
from tests.gpu_worker import GpuWorld, photo

PACKAGED = JobModels((fake_spec(),))


def add(sessions: Sessions, version: str, *, promote: bool = False) -> None:
    with sessions.begin() as session:
        registry.register(session, fake_spec(version), PACKAGED, key="models/x", size_bytes=1, source="test")
        if promote:
            registry.promote(session, f"fake@{version}", PACKAGED)


def promote(sessions: Sessions, model_id: str) -> None:
    with sessions.begin() as session:
        registry.promote(session, model_id, PACKAGED)


def standing(sessions: Sessions) -> str:
    with sessions() as session:
        return registry.read(session, PACKAGED).ids["fake"]


def test_an_import_changes_nothing_until_it_is_promoted(sessions: Sessions) -> None:
    add(sessions, "2")
    with sessions() as session:
        models = registry.read(session, PACKAGED)
    assert models.ids == {"fake": "fake@1", "fake@1": "fake@1", "fake@2": "fake@2"}
    assert models.imported == {"fake@2"}
    promote(sessions, "fake@2")
    assert standing(sessions) == "fake@2"


def test_promotions_are_rolled_back_one_by_one(sessions: Sessions) -> None:
    add(sessions, "2", promote=True)
    add(sessions, "3", promote=True)
    with sessions.begin() as session:
        assert registry.roll_back(session, "fake", PACKAGED) == ("fake@3", "fake@2")
    with sessions.begin() as session:
        assert registry.roll_back(session, "fake", PACKAGED) == ("fake@2", "fake@1")
    with sessions.begin() as session, pytest.raises(RegistryError, match="No version of 'fake' was promoted"):
        registry.roll_back(session, "fake", PACKAGED)
    promote(sessions, "fake@2")
    promote(sessions, "fake@1")
    assert standing(sessions) == "fake@1"


def test_a_name_without_a_packaged_version_is_not_left_standing_for_nothing(sessions: Sessions) -> None:
    spec = replace(fake_spec("1"), name="brought")
    with sessions.begin() as session:
        registry.register(session, spec, PACKAGED, key="models/x", size_bytes=1, source="test")
        registry.promote(session, "brought@1", PACKAGED)
    with pytest.raises(RegistryError, match="stand for nothing"), sessions.begin() as session:
        registry.roll_back(session, "brought", PACKAGED)
    with sessions() as session:
        assert registry.read(session, PACKAGED).ids["brought"] == "brought@1"


def test_versions_never_change(sessions: Sessions) -> None:
    add(sessions, "2")
    for version in ("1", "2"):
        with pytest.raises(RegistryError, match="never change"):
            add(sessions, version)
    with pytest.raises(RegistryError, match="is no name or version"):
        add(sessions, "../2")
    with pytest.raises(RegistryError, match="no version 'fake@9'"):
        promote(sessions, "fake@9")
    with pytest.raises(RegistryError, match="no version 'fake'"):
        promote(sessions, "fake")


def test_of_two_imports_of_one_version_one_wins(sessions: Sessions) -> None:
    def one(_: int) -> str:
        try:
            add(sessions, "7")
        except RegistryError:
            return "refused"
        return "added"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == ["added", "refused", "refused", "refused"]
    with sessions() as session:
        assert len(session.scalars(select(ModelVersion)).all()) == 1


def test_the_api_sees_imports_soon_and_survives_without_a_database(sessions: Sessions, monkeypatch) -> None:
    catalog = Catalog(sessions, PACKAGED)
    assert catalog.models().ids["fake"] == "fake@1"
    add(sessions, "2", promote=True)
    assert catalog.models().ids["fake"] == "fake@1"
    monkeypatch.setattr("jobs.registry._FRESH_S", -1.0)
    assert catalog.models().ids["fake"] == "fake@2"
    add(sessions, "3", promote=True)
    sessions.kw["bind"].dispose()
    monkeypatch.setattr(catalog, "_sessions", _away)
    assert catalog.models().ids["fake"] == "fake@2"


def _away() -> Sessions:
    from sqlalchemy.exc import InterfaceError  # noqa: PLC0415

    raise InterfaceError("SELECT 1", None, Exception("away"))


@pytest.fixture
def loads() -> dict[str, FakeSegmenter]:
    """What was loaded; a version whose name ends in `bad` does not load."""
    return {}


@pytest.fixture
def world(settings: Settings, sessions: Sessions, loads: dict[str, FakeSegmenter]) -> Iterator[GpuWorld]:
    def load(model_id: str) -> FakeSegmenter:
        if model_id.endswith("bad"):
            raise ValueError("tensors are missing")
        return loads.setdefault(model_id, FakeSegmenter(model_id))

    world = GpuWorld(settings, registered_fakes(sessions, load))
    yield world
    world.close()


def versions(world: GpuWorld, job_ids: list) -> list[str | None]:
    return [world.job(job_id).model_version for job_id in job_ids]


def test_a_worker_takes_a_promoted_version_between_two_microbatches(
    settings: Settings, sessions: Sessions, loads: dict[str, FakeSegmenter]
) -> None:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    one_by_one = Settings(**given, microbatch_images=2)
    world = GpuWorld(one_by_one, registered_fakes(sessions, lambda i: loads.setdefault(i, FakeSegmenter(i))))
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(12)]
    pinned = world.add(photo(product=(99, 0, 0)), params=JobParams(model="fake@1"))
    first = world.res.intake.models.default
    seen: list[int] = []

    def promote_once(canvases) -> None:
        seen.append(len(canvases))
        if len(seen) == 2:
            add(sessions, "2", promote=True)

    first.before_predict = promote_once  # type: ignore[attr-defined]
    world.drain()
    assert set(world.statuses([*jobs, pinned])) == {JobStatus.SUCCEEDED}
    world.assert_each_done_once([*jobs, pinned])
    used = versions(world, jobs)
    assert used[:4] == ["fake@1"] * 4
    assert used[-2:] == ["fake@2"] * 2
    assert used == sorted(used, key=str)
    assert versions(world, [pinned]) == ["fake@1"]
    assert sum(seen) + sum(loads["fake@2"].microbatches) == 13
    world.close()


def test_a_version_that_does_not_load_leaves_the_one_before_at_work(world: GpuWorld, sessions: Sessions) -> None:
    add(sessions, "2bad", promote=True)
    before = world.add()
    world.drain()
    assert (world.job(before).status, world.job(before).model_version) == (JobStatus.SUCCEEDED, "fake@1")
    models = world.res.intake.models
    assert models.problem == "fake: fake@2bad does not load"
    assert world.res.heartbeat._identity.problem == models.problem
    add(sessions, "3", promote=True)
    after = world.add(photo(product=(7, 0, 0)))
    world.drain()
    assert world.job(after).model_version == "fake@3"
    assert models.problem is None
    with sessions.begin() as session:
        registry.roll_back(session, "fake", PACKAGED)
    models.refresh()
    assert models.problem == "fake: fake@2bad does not load"
    assert models.default.version == "fake@3"
    with sessions.begin() as session:
        registry.roll_back(session, "fake", PACKAGED)
    last = world.add(photo(product=(8, 0, 0)))
    world.drain()
    assert world.job(last).model_version == "fake@1"
    assert models.problem is None


def test_a_bad_version_is_tried_once(world: GpuWorld, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CapturingLogger()
    monkeypatch.setattr("worker.models.log", log)
    add(sessions, "2bad", promote=True)
    for _ in range(3):
        world.res.intake.models.refresh()
    assert [call.args for call in log.calls] == [("model_load_failed",)]
