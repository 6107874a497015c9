"""A worker of each kind around one receiver of PUTs."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, update

from db.batch_models import Batch
from db.models import Job, Output
from db.put_models import Put
from jobs.params import JobParams
from jobs.put_params import PutTarget
from tests import batch_rows
from tests.gpu_worker import GpuWorld
from tests.receivers import Receiver
from worker import io

SECRET = "X-Signature=0123456789abcdef"


@dataclass
class World:
    gpu: GpuWorld
    io: io.IoResources
    receiver: Receiver

    def url(self, path: str = "/cutout.png") -> str:
        return f"{self.receiver.url(path)}?{SECRET}"

    def add(self, *targets: PutTarget, params: JobParams | None = None) -> UUID:
        puts = targets or (PutTarget("cutout", self.url()),)
        return self.gpu.add(params=params, puts=puts, webhook_url="https://shop.example/hook")

    def work(self) -> None:
        self.gpu.drain()
        io.drain(self.io)

    def again(self) -> None:
        """Warp time: what waits for its retry is due now."""
        with self.io.sessions.begin() as session:
            session.execute(update(Put).where(Put.due_at.is_not(None)).values(due_at=func.now()))
        io.drain(self.io)

    def puts(self, job_id: UUID) -> list[Put]:
        with self.io.sessions() as session:
            return list(session.scalars(select(Put).where(Put.job_id == job_id).order_by(Put.id)))

    def output(self, job_id: UUID, name: str = "cutout") -> Output:
        return next(output for output in self.gpu.outputs(job_id) if output.name == name)


def in_a_batch(world: World, job_id: UUID) -> UUID:
    """Make the job a line of a batch that no worker need look at."""
    batch_id = batch_rows.create(world.io.sessions, world.gpu.storage, b"{}")
    with world.io.sessions.begin() as session:
        session.execute(update(Batch).values(due_at=None))
        session.execute(update(Job).where(Job.id == job_id).values(batch_id=batch_id, line=1))
    return batch_id
