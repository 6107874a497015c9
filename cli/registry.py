"""`packshot models add`, `promote` and `rollback`: which versions there are, and which one a name stands for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.keys import open_sessions
from cli.output import console, fail
from config.settings import Settings
from jobs import registry
from jobs.egress import EgressRefusedError, Policy
from jobs.importing import MAX_WEIGHTS_BYTES, describe, require_weights, too_large
from jobs.models import installed_models
from jobs.registry import RegistryError
from jobs.urls import bare_url
from storage.keys import model_key
from storage.opening import open_storage
from storage.port import StorageError
from vision.segmenters.spec import ModelSpec

_DOWNLOAD_S = 1800.0
_PIECE = 1 << 20


def add(
    source: Annotated[
        Path, typer.Argument(help="A run's folder, a sidecar (*.json), or a manifest (*.toml) of ONNX or safetensors.")
    ],
    url: Annotated[
        str | None, typer.Option(help="Fetch the weights there; they must have the sha256 of SOURCE.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let its name stand for it at once.")] = False,
) -> None:
    """Add a version of a model. It is loaded once to see that it works; jobs can name it, nothing else changes."""
    settings, packaged = Settings(), installed_models()
    with _told():
        described = describe(source)
    with _told(), open_sessions(settings) as sessions:
        spec, weights = described.spec, url or described.weights
        with sessions() as session:
            registry.check_free(session, spec, packaged)
        size_bytes = _store(spec, weights, settings)
        with sessions.begin() as session:
            key = model_key(spec.weights_sha256)
            registry.register(session, spec, packaged, key=key, size_bytes=size_bytes, source=_shown(weights))
            if promote:
                registry.promote(session, spec.model_id, packaged)
    more = f"{spec.name} stands for it." if promote else f"`packshot models promote {spec.model_id}` puts it to work."
    console.print(f"Added {spec.model_id}, sha256 {spec.weights_sha256}. {more}", markup=False)


def _store(spec: ModelSpec, source: Path | str, settings: Settings) -> int:
    """Check the weights, load them once, put them into the store; returns their size. RegistryError, StorageError."""
    from vision.segmenters.checksum import ChecksumError, WeightsError, checked_weights
    from vision.segmenters.loading import load_segmenter
    from vision.segmenters.runtimes import RuntimeOptions

    with tempfile.TemporaryDirectory(prefix="packshot-model-") as folder:
        weights = Path(folder, spec.weights_name)
        _copy(source, weights, settings)
        try:
            checked_weights(spec, Path(folder))
            require_weights(weights)
            options = RuntimeOptions(threads=settings.threads, cache_dir=settings.data_dir / "models", microbatch=1)
            segmenter = load_segmenter(spec, Path(folder), runtime=settings.runtime, options=options)
            segmenter.warm_up([1])
            segmenter.try_out()
        except ChecksumError as error:
            raise RegistryError("sha256_mismatch", str(error)) from error
        except (WeightsError, ValueError) as error:
            raise RegistryError("model_does_not_fit", str(error)) from error
        with weights.open("rb") as file:
            return open_storage(settings).put(model_key(spec.weights_sha256), file)


def promote(model: Annotated[str, typer.Argument(help="A version, such as unet-fast@2.")]) -> None:
    """Let a name stand for this version. Workers take it between two microbatches; no job is lost or waits."""
    with _told(), open_sessions(Settings()) as sessions, sessions.begin() as session:
        name = registry.promote(session, model, installed_models())
    console.print(f"{name} stands for {model}.", markup=False)


def rollback(name: Annotated[str, typer.Argument(help="A name, such as unet-fast.")]) -> None:
    """Undo the last promotion of a name."""
    with _told(), open_sessions(Settings()) as sessions, sessions.begin() as session:
        taken, now = registry.roll_back(session, name, installed_models())
    console.print(f"Took {taken} back; {name} stands for {now}.", markup=False)


def _copy(source: Path | str, target: Path, settings: Settings) -> None:
    """Bytes of a file or a URL. RegistryError when they can't be had, or are too many."""
    if isinstance(source, Path):
        if not source.is_file():
            raise RegistryError("model_not_found", f"There is no file {source}.")
        with source.open("rb") as file, target.open("wb") as out:
            _drain(iter(lambda: file.read(_PIECE), b""), out.write)
        return
    from worker.http import CallError, Deadline, HttpClient

    with closing(HttpClient(Policy.from_settings(settings))) as client:
        try:
            with (
                client.call("GET", source, deadline=Deadline(_DOWNLOAD_S)) as answer,
                target.open("wb") as out,
            ):
                if answer.status != 200:  # noqa: PLR2004
                    detail = f"{_shown(source)} answered {answer.status}; redirects are not followed."
                    raise RegistryError("download_failed", detail)
                _drain(answer.body, out.write)
        except (CallError, EgressRefusedError) as error:
            raise RegistryError("download_failed", f"{_shown(source)}: {error}") from error


def _shown(source: Path | str) -> str:
    """As it may be kept and printed: of a URL neither user nor query, which may be a signature."""
    if isinstance(source, Path):
        return str(source)
    try:
        return bare_url(source) if urlsplit(source).netloc else "The URL of the weights"
    except ValueError:
        return "The URL of the weights"


def _drain(body: Iterator[bytes], write: Callable[[bytes], object]) -> None:
    size = 0
    for piece in body:
        size += len(piece)
        if size > MAX_WEIGHTS_BYTES:
            raise too_large()
        write(piece)


@contextmanager
def _told() -> Iterator[None]:
    """A refusal as one line."""
    try:
        yield
    except (RegistryError, StorageError) as error:
        raise fail(str(error)) from None
