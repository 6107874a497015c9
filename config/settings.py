"""Every setting, its default and its meaning; read from `PACKSHOT_*` variables once per entry point.

Nothing here is built at import: an entry point calls `Settings()` and hands the value on, a test builds its own.
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_STORAGE_URL = re.compile(
    r"file:(?://(?=/))?(?P<folder>[^?#]+)"
    r"|(?P<scheme>s3|gs|az)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<prefix>/[A-Za-z0-9._/-]*)?"
)

Runtime = Literal[
    "auto",
    "torch-cpu",
    "torch-compile-cpu",
    "torch-cuda",
    "torch-compile-cuda",
    "torch-graphs-cuda",
    "onnxruntime-cpu",
    "openvino-cpu",
]


@dataclass(frozen=True)
class StorageUrl:
    """A `PACKSHOT_STORAGE_URL`: scheme `file`, `s3`, `gs` or `az`, bucket or container, and folder or prefix in it."""

    scheme: str
    bucket: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "StorageUrl":
        """Read one; `ValueError` says what is wrong. It holds no secret: credentials are in variables of their own."""
        match = _STORAGE_URL.fullmatch(text)
        if match is None:
            raise ValueError(
                "storage_url is file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/..."
            )
        if match["folder"]:
            return cls("file", "", unquote(match["folder"]))
        return cls(match["scheme"], match["bucket"], (match["prefix"] or "").strip("/"))


class Settings(BaseSettings):
    """Settings of one process. Sizes in bytes, times in seconds, pictures in megapixels (10^6 pixels)."""

    model_config = SettingsConfigDict(
        env_prefix="PACKSHOT_",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # whoever writes a secret where none belongs finds it in no log
    )

    # Where things stand
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL URL; without one `packshot up` starts its own server."
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey URL; without one `packshot up` starts its own server."
    )
    data_dir: Path = Field(default=Path(".packshot"), description="Folder of the embedded servers and local files.")
    storage_url: str | None = Field(
        default=None,
        description="Where originals, mattes and results stay: `file:///folder`, `s3://bucket/prefix`, "
        "`gs://bucket/prefix` or `az://container/prefix`; the folder `files` in the data folder by default.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="One JSON object a line (`json`), or for eyes (`console`); `auto` is `console` on a terminal.",
    )

    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port at which a worker shows its metrics; 0 is none. On a machine with several GPUs each one's "
        "process takes the next. (The API's are at its `/metrics`.)",
    )
    otlp_url: str | None = Field(
        default=None,
        description="Collector that traces are sent to by OTLP/HTTP, such as `http://collector:4318`; none by default.",
    )

    # HTTP
    host: str = Field(default="127.0.0.1", description="Address that the API, and a worker's metrics, listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port that the API listens on.")
    public_url: str | None = Field(
        default=None,
        description="Base of the URLs in replies and webhooks; the request's own base by default.",
    )

    watch_poll_s: float = Field(
        default=10.0, gt=0, description="Pause between two looks at all that is waited for, beside notifications."
    )
    max_waiting: int = Field(
        default=10_000, gt=0, description="Requests of one API process that may wait at a time for a change."
    )

    # What a key may ask for, where it has no limits of its own; 0 sets none
    requests_per_minute: int = Field(default=60_000, ge=0, description="Requests of a key a minute; 0 is no limit.")
    megapixels_per_minute: int = Field(
        default=0, ge=0, description="Megapixels of photos that a key may send a minute; 0 is no limit."
    )
    queue_depth: int = Field(
        default=1_000_000, ge=0, description="Jobs of a key that may wait or run at a time; 0 is no limit."
    )

    # Drop-in for other services' clients
    drop_in_wait_s: float = Field(
        default=60.0, gt=0, description="Longest that a client of remove.bg or rembg waits; then its job is canceled."
    )
    rembg_key: str | None = Field(
        default=None,
        description="API key (its id, or the public part of it) that callers of `/api/remove` act as; they send none. "
        "Without one that path is off.",
    )

    # What a photo may be
    max_megapixels: float = Field(default=50.0, gt=0, description="Largest photo taken, in megapixels.")
    max_upload_bytes: int = Field(default=30 * 2**20, gt=0, description="Largest photo taken, in bytes.")

    # A store that is not a folder
    storage_endpoint: str | None = Field(
        default=None, description="URL of the store's server where it isn't the provider's own: `http://minio:9000`."
    )
    storage_public_endpoint: str | None = Field(
        default=None, description="URL under which callers reach that server, where it is another one."
    )
    storage_ca_file: Path | None = Field(
        default=None, description="Certificate of the authority that the store's server has its own from (PEM)."
    )
    storage_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest that one request to the store may take; none is tried again later than that.",
    )
    storage_failures: int = Field(
        default=3,
        ge=0,
        description="After so many requests in a row that timed out the store is left alone for a while, by workers "
        "also after so many jobs in a row whose files it did not take. 0 is never.",
    )
    storage_pause_s: float = Field(
        default=10.0, gt=0, description="How long it is left alone; then one request, or job, tries."
    )
    storage_links: bool = Field(
        default=True, description="Send downloads on to URLs that the store signed, where it can; else the API streams."
    )
    storage_link_s: float = Field(
        default=300.0, gt=0, le=604_800, description="Longest that such a URL is good; 7 days is the most."
    )

    # GPU workers
    model: str = Field(default="unet-fast", description="Model of jobs that name none.")
    runtime: Runtime = Field(default="auto", description="Inference runtime; auto is the fastest one measured.")
    threads: int = Field(default=0, ge=0, description="Threads of one forward pass; 0 is one per core.")
    microbatch_images: int = Field(default=8, gt=0, description="Most photos in one forward pass.")
    microbatch_megapixels: float = Field(default=100.0, gt=0, description="Most megapixels claimed at once.")
    pipeline_megapixels: float = Field(
        default=200.0, gt=0, description="Most megapixels decoded and not yet stored, per worker."
    )
    decode_processes: int = Field(default=0, ge=0, description="Decoder processes per worker; 0 is min(2, cores).")
    encode_threads: int = Field(default=0, ge=0, description="Threads that refine and encode; 0 is min(4, cores).")
    decode_timeout_s: float = Field(default=30.0, gt=0, description="Longest a photo may take to decode.")
    decode_memory_bytes: int = Field(default=1500 * 2**20, gt=0, description="Memory limit of one decoder process.")
    worker_memory_bytes: int = Field(
        default=0,
        ge=0,
        description="A gpu worker that holds more finishes what it began and is replaced; "
        "0 is four fifths of the container's memory limit where there is one.",
    )
    lease_s: float = Field(default=60.0, gt=0, description="Lease of a claimed row; renewed while work goes on.")
    slice_s: float = Field(default=300.0, gt=0, description="Longest that one doorbell drains before ringing again.")
    heartbeat_s: float = Field(default=5.0, gt=0, description="Pause between two heartbeats of a worker.")
    shutdown_s: float = Field(
        default=20.0,
        gt=0,
        description="Time a worker takes after SIGTERM to finish what it began; it gives back the rest.",
    )
    stall_s: float = Field(default=300.0, gt=0, description="A worker with work but no progress for this long exits.")
    retry_backoff_s: float = Field(default=5.0, gt=0, description="First pause after a passing fault; it doubles.")
    max_retries: int = Field(default=5, ge=0, description="Passing faults that a job survives.")
    max_crashes: int = Field(default=3, ge=0, description="Crashes that a job or batch survives; one more fails it.")

    # Fetching and webhooks
    egress_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Private networks that may be called, comma-separated: 10.0.0.0/8, 127.0.0.1/32:9000.",
    )
    egress_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(80, 443),
        description="Ports that may be called, comma-separated; the port of an allowed network is open besides.",
    )
    fetch_timeout_s: float = Field(default=30.0, gt=0, description="Whole time of one download.")
    fetch_redirects: int = Field(default=5, ge=0, description="Redirects followed, each one checked.")
    fetch_max_tries: int = Field(default=4, gt=0, description="Tries of one download before the job fails.")
    put_timeout_s: float = Field(default=60.0, gt=0, description="Whole time of one PUT to a caller's URL.")
    put_max_tries: int = Field(default=8, gt=0, description="Tries of one such PUT before the job fails.")
    webhook_timeout_s: float = Field(default=15.0, gt=0, description="Whole time of one webhook call.")
    webhook_disable_after: timedelta = Field(
        default=timedelta(days=5),
        description="A registered endpoint where every call has failed for this long is disabled (ISO 8601).",
    )
    io_concurrency: int = Field(
        default=16,
        gt=0,
        description="Downloads, and as many PUTs and webhook calls beside them, at a time per io worker.",
    )

    # Batches
    batch_max_items: int = Field(default=50_000, gt=0, description="Most lines or photos of one batch.")
    batch_max_manifest_bytes: int = Field(default=100 * 2**20, gt=0, description="Largest manifest taken, in bytes.")
    batch_max_archive_bytes: int = Field(default=4 * 2**30, gt=0, description="Largest ZIP of photos taken, in bytes.")
    batch_max_unpacked_bytes: int = Field(
        default=16 * 2**30, gt=0, description="Most bytes that the photos of one ZIP may have together, unpacked."
    )
    uploads_retention: timedelta = Field(
        default=timedelta(days=1), description="How long an upload waits for the jobs that use it."
    )

    # Sweeper and retention
    sweep_s: float = Field(default=3.0, gt=0, description="Pause between two sweeps.")
    files_retention: timedelta = Field(
        default=timedelta(days=7), description="How long files of a finished job stay (ISO 8601, such as P7D)."
    )
    rows_retention: timedelta = Field(default=timedelta(days=30), description="How long rows of a finished job stay.")
    idempotency_retention: timedelta = Field(
        default=timedelta(days=2),
        ge=timedelta(days=1),
        description="How long the reply to an `Idempotency-Key` is kept.",
    )
    orphan_age: timedelta = Field(
        default=timedelta(hours=1), description="A file that no row names is removed when it is older."
    )
    orphan_pause_s: float = Field(default=600.0, ge=0, description="Pause between two searches for such files.")

    @field_validator("egress_allow", "egress_ports", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Environment variables carry lists as comma-separated text."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("egress_allow")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            network, port = split_allow(entry)
            ipaddress.ip_network(network)
            if port is not None and not 0 < port < 65536:  # noqa: PLR2004 - ports are 16 bits
                message = f"no such port: {entry}"
                raise ValueError(message)
        return value

    @field_validator("storage_url")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        if value is not None:
            StorageUrl.parse(value)
        return value

    @property
    def storage(self) -> StorageUrl:
        """Where originals, mattes and results stay."""
        if self.storage_url is None:
            return StorageUrl("file", "", str(self.data_dir / "files"))
        return StorageUrl.parse(self.storage_url)

    @property
    def files_path(self) -> Path:
        """Their folder; `ValueError` where they are in no folder."""
        if self.storage.scheme != "file":
            message = f"files are in {self.storage_url}"
            raise ValueError(message)
        return Path(self.storage.path)

    def require_database_url(self) -> str:
        """The database URL; `ValueError` when none is set."""
        if self.database_url is None:
            message = "PACKSHOT_DATABASE_URL is not set (packshot up starts its own database)"
            raise ValueError(message)
        return self.database_url.get_secret_value()

    def require_broker_url(self) -> str:
        """The broker URL; `ValueError` when none is set."""
        if self.broker_url is None:
            message = "PACKSHOT_BROKER_URL is not set (packshot up starts its own broker)"
            raise ValueError(message)
        return self.broker_url.get_secret_value()


def split_allow(entry: str) -> tuple[str, int | None]:
    """Split one `PACKSHOT_EGRESS_ALLOW` entry, `CIDR` or `CIDR:PORT`; an IPv6 network with a port is `[CIDR]:PORT`."""
    if entry.startswith("["):
        network, _, rest = entry[1:].partition("]")
        return network, int(rest[1:]) if rest else None
    if entry.count(":") == 1:
        network, _, port = entry.partition(":")
        return network, int(port)
    return entry, None
