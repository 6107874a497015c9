"""Every storage key is made here."""

from uuid import UUID

PREFIXES = ("jobs", "mattes", "uploads", "batches")
"""Under which everything lies that belongs to jobs, and is swept with them."""


def input_key(job_id: UUID) -> str:
    """The photo of a job."""
    return f"jobs/{job_id.hex}/input"


def fetched_key(job_id: UUID, attempt: int) -> str:
    """The photo of a job, downloaded; the attempt keeps a late download apart from the one that counts."""
    return f"jobs/{job_id.hex}/input-{attempt}"


def output_key(job_id: UUID, attempt: int, name: str, extension: str) -> str:
    """An output; the attempt keeps a late worker's file apart from the one that counts."""
    return f"jobs/{job_id.hex}/{attempt}/{name}.{extension}"


def model_key(sha256: str) -> str:
    """Weights of an imported model. Outside of `PREFIXES`: no orphan search may take them for a job's leavings."""
    return f"models/{sha256}"


def matte_key(matte_id: UUID) -> str:
    """A stored matte."""
    return f"mattes/{matte_id.hex}.png"


def upload_key(upload_id: UUID) -> str:
    """A photo stored ahead of its jobs."""
    return f"uploads/{upload_id.hex}/photo"


def manifest_key(batch_id: UUID) -> str:
    """The manifest or ZIP of a batch, as it came."""
    return f"batches/{batch_id.hex}/manifest"
