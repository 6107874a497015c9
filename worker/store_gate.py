"""Whether work that needs the file store is worth beginning: what can't be stored would be computed for nothing."""

from config.settings import Settings
from storage.breaker import Breaker, BreakerState
from storage.guarded import GuardedStorage


class StoreGate:
    """Shut while the store does not answer, or lately let down row after row: rows stay queued, nothing is counted.

    When the pause is over one row is let through, and how it fares decides; one that ends otherwise, such as a photo
    that can't be read, is followed by the next one after another pause. Used by all threads of a worker.
    """

    def __init__(self, storage: GuardedStorage, settings: Settings) -> None:
        self._storage = storage
        pause_s = settings.storage_pause_s
        self._taking = Breaker(failures=settings.storage_failures, pause_s=pause_s, lapse_s=pause_s)

    @property
    def state(self) -> BreakerState:
        """Of the store or, where it answers, of how it takes files."""
        answers = self._storage.state
        return self._taking.state if answers is BreakerState.CLOSED else answers

    @property
    def is_shut(self) -> bool:
        """Whether nothing is to be begun now that ends in a stored file."""
        return self.state is BreakerState.OPEN

    def readers(self, limit: int) -> int:
        """How many rows of up to `limit` may be claimed that only read."""
        match self._storage.state:
            case BreakerState.CLOSED:
                return limit
            case BreakerState.HALF_OPEN:
                return min(limit, 1)
            case BreakerState.OPEN:
                return 0

    def writers(self, limit: int) -> int:
        """How many rows of up to `limit` may be claimed whose work ends in a stored file."""
        if not (limit := self.readers(limit)):
            return 0
        if self._taking.state is BreakerState.CLOSED:
            return limit
        return min(limit, 1) if self._taking.admit() else 0

    def stored(self) -> None:
        """All files of a row are in the store."""
        self._taking.succeed()

    def refused(self) -> None:
        """The store let a row down."""
        self._taking.fail()
