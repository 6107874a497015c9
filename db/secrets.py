"""Random secrets that all processes share."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.key_models import Secret


def get_or_keep(session: Session, name: str, fresh: str) -> str:
    """The secret of this name; `fresh` becomes it where there is none yet, for the first process that asks."""
    query = select(Secret.value).where(Secret.name == name)
    if (kept := session.scalar(query)) is not None:
        return kept
    session.execute(insert(Secret).values(name=name, value=fresh).on_conflict_do_nothing())
    return session.scalars(query).one()
