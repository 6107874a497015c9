"""Workers that race for the same rows."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID


def work_off(claim: Callable[[], Iterable[UUID]], *, workers: int = 4) -> Counter[UUID]:
    """What that many threads took until each came back with nothing three times, and how often each."""
    taken: Counter[UUID] = Counter()
    lock = threading.Lock()

    def run() -> None:
        empty = 0
        while empty < 3:
            claimed = list(claim())
            empty = 0 if claimed else empty + 1
            with lock:
                taken.update(claimed)

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken
