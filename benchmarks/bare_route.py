"""The least that a service which takes photos can do, to be measured against: a file synced, a row committed.

`uvicorn --factory benchmarks.bare_route:app` with `BARE_DATABASE_URL` and `BARE_FOLDER`. No key, no checks, no limits.
"""

import os
import shutil
from pathlib import Path
from uuid import UUID, uuid4

from fastapi import FastAPI, UploadFile
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """The bare route's own."""


class Photo(Base):
    """One upload."""

    __tablename__ = "bare_photos"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    filename: Mapped[str | None]
    size_bytes: Mapped[int]


def app() -> FastAPI:
    """The application, and its table."""
    folder = Path(os.environ["BARE_FOLDER"])
    engine = create_engine(os.environ["BARE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))
    sessions = sessionmaker(engine)
    Base.metadata.create_all(engine)
    bare = FastAPI()

    @bare.post("/photos", status_code=202)
    def store(image_file: UploadFile) -> dict[str, str]:
        photo_id = uuid4()
        with (folder / photo_id.hex).open("wb") as file:
            shutil.copyfileobj(image_file.file, file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        with sessions.begin() as session:
            session.add(Photo(id=photo_id, filename=image_file.filename, size_bytes=size))
        return {"id": photo_id.hex}

    return bare
