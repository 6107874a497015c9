"""Queries on imported models and their promotions."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from db.worker_models import ModelVersion, Promotion


def add(session: Session, **values: Any) -> bool:
    """Insert a version; False when its id is taken, whoever was faster."""
    query = insert(ModelVersion).values(**values).on_conflict_do_nothing().returning(ModelVersion.id)
    return session.scalar(query) is not None


def find(session: Session, model_id: str) -> ModelVersion | None:
    """A version by its id."""
    return session.get(ModelVersion, model_id)


def all_versions(session: Session) -> Sequence[ModelVersion]:
    """Every imported version, oldest first."""
    return session.scalars(select(ModelVersion).order_by(ModelVersion.created_at, ModelVersion.id)).all()


def promoted(session: Session) -> dict[str, str]:
    """Name -> id of the version that it stands for, of every name that was promoted."""
    newest = (
        select(Promotion.name, Promotion.model_id)
        .where(Promotion.rolled_back_at.is_(None))
        .ext(distinct_on(Promotion.name))
        .order_by(Promotion.name, Promotion.id.desc())
    )
    return {row.name: row.model_id for row in session.execute(newest)}


def promote(session: Session, name: str, model_id: str) -> None:
    """Let a name stand for a version from now on."""
    session.add(Promotion(name=name, model_id=model_id))
    session.flush()


def roll_back(session: Session, name: str) -> str | None:
    """Take back the newest promotion that stands; returns its model's id, or None where there is none."""
    newest = (
        select(Promotion.id)
        .where(Promotion.name == name, Promotion.rolled_back_at.is_(None))
        .order_by(Promotion.id.desc())
        .limit(1)
        .with_for_update()
        .scalar_subquery()
    )
    query = update(Promotion).where(Promotion.id == newest, Promotion.rolled_back_at.is_(None))
    return session.scalar(query.values(rolled_back_at=func.now()).returning(Promotion.model_id))
