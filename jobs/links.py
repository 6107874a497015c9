"""Links that open one file for a while, without a key: signed by HMAC-SHA256 over what they open and until when.

The caller's key id is signed too, though it stands in no link: a link is good for the key that made it and for no
other, and ends with it. The secret is the service's own and the same in all its processes.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from db import keys
from db import secrets as rows
from jobs.errors import JobError
from jobs.ids import parse_job_id

DEFAULT_LIFE = timedelta(hours=1)
MAX_LIFE = timedelta(days=7)
_NAME = "links"


@dataclass(frozen=True)
class Signer:
    """Signs and checks links with one secret."""

    secret: bytes

    def sign(self, api_key_id: UUID, subject: str, expires_at: datetime) -> str:
        """The query string that opens `subject` until then."""
        expires = int(expires_at.timestamp())
        return f"expires={expires}&signature={self._signature(api_key_id, subject, expires)}"

    def check(self, api_key_id: UUID, subject: str, expires: int, signature: str, *, now: datetime) -> None:
        """`JobError` `invalid_link`, `link_expired`. Takes the same time for every wrong signature."""
        wanted = self._signature(api_key_id, subject, expires).encode()
        if not hmac.compare_digest(wanted, signature.encode(errors="replace")):
            raise invalid()
        if now.timestamp() >= expires:
            raise JobError("link_expired", "The link was good for a while, and that is over.")

    def _signature(self, api_key_id: UUID, subject: str, expires: int) -> str:
        message = f"v1\n{api_key_id.hex}\n{subject}\n{expires}"
        return hmac.new(self.secret, message.encode(), hashlib.sha256).hexdigest()


def output_subject(public_id: str, name: str) -> str:
    """What a link to an output opens."""
    return f"{public_id}/outputs/{name}"


def matte_subject(public_id: str) -> str:
    """What a link to a matte opens."""
    return f"{public_id}/matte"


def invalid() -> JobError:
    """The same for a signature that is wrong and for a job that is not there: a link tells nothing."""
    return JobError("invalid_link", "The link is not one that this service made, or what it opened is gone.")


def owner(session: Session, public_id: str) -> UUID:
    """The key whose job a link is about, while that is live. `JobError` `invalid_link`."""
    job_id = parse_job_id(public_id)
    api_key_id = keys.owner_of_job(session, job_id) if job_id else None
    if api_key_id is None:
        raise invalid()
    return api_key_id


def load_signer(session: Session) -> Signer:
    """The service's signer; its secret is made at the first call of all."""
    return Signer(rows.get_or_keep(session, _NAME, secrets.token_urlsafe(32)).encode())
