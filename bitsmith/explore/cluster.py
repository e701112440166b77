"""Points evaluated by the workers of a Dask cluster."""

import hashlib
import pickle
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from configs.errors import InputError

from ..hashes import code_hash
from .parcels import Factory, Item, evaluated
from .store import Points, described
from .table import Table

#: items in flight for each thread of the cluster
_WINDOW = 3
_CONNECT_S = 20
#: of each thread of a cluster's worker: the runner it made, and whose it is
_THREAD = threading.local()


@cache
def _own_code() -> str:
    return code_hash()


def _on_cluster(study: str, factory: bytes, code: str, item: Any) -> Table:
    """Evaluate an item on a worker of the cluster."""
    if getattr(_THREAD, "study", None) != study:
        if _own_code() != code:
            raise InputError("a worker of the cluster has another version of bitsmith")
        _THREAD.runner = pickle.loads(factory)()
        _THREAD.study = study
    return evaluated(_THREAD.runner, item)


def _check_address(dask: Any, address: str) -> None:
    """Refuse what has no port, which Dask would look for until its time is up.

    Raises
    ------
    InputError : no host and port.
    """
    try:
        scheme, place = dask.comm.parse_address(address)
        if scheme in ("tcp", "tls", "ws", "wss"):
            dask.comm.parse_host_port(place)
    except ValueError as error:
        raise InputError(f"'{address}' is no address of a Dask scheduler: {error}") from None


class Cluster:
    """A Dask cluster.

    A task is known by a hash of all it depends on. The scheduler gives it to another worker when
    one dies, and gives up when too many have (its setting ``allowed-failures``).
    """

    def __init__(self, factory: Factory, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise InputError("a scheduler needs Dask: pip install 'bitsmith[cluster]'") from None
        _check_address(distributed, address)
        self._dask = distributed
        self._address = address
        self._factory = pickle.dumps(factory)
        self._code = code_hash()
        self._study = hashlib.sha256(self._factory + self._code.encode()).hexdigest()
        try:
            self._client = distributed.Client(
                address, timeout=_CONNECT_S, set_as_default=False, name="bitsmith"
            )
        except (OSError, ValueError):
            raise InputError(f"no Dask scheduler answers at '{address}'") from None

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Table]]:
        source = iter(items)
        done = self._dask.as_completed(loop=self._client.loop)
        pending: dict[Any, Item] = {}
        try:
            while True:
                room = self._room() - len(pending)
                for _, item in zip(range(room), source, strict=False):
                    future = self._submitted(item)
                    pending[future] = item
                    done.add(future)
                if not pending:
                    return
                future = next(done)
                table = self._result(future, pending[future])
                item = pending.pop(future)
                future.release()
                yield item, table
        finally:
            if pending:
                with suppress(Exception):  # the scheduler may be gone
                    self._client.cancel(list(pending))

    def _room(self) -> int:
        """Tasks that may be in flight; workers come and go."""
        threads = sum(self._client.nthreads().values())
        if not threads:
            try:
                self._client.wait_for_workers(1, timeout=_CONNECT_S)
            except TimeoutError:
                raise InputError(f"the scheduler at '{self._address}' has no workers") from None
        return _WINDOW * max(1, threads)

    def _submitted(self, item: Points) -> Any:
        digest = hashlib.sha256(self._study.encode() + item.numbers.tobytes()).hexdigest()
        return self._client.submit(
            _on_cluster,
            self._study,
            self._factory,
            self._code,
            item,
            key=f"bitsmith-{digest[:32]}",
            pure=False,
        )

    def _result(self, future: Any, item: Points) -> Table:
        try:
            return future.result()
        except self._dask.KilledWorker:
            raise InputError(f"workers died again and again on {described(item)}") from None
        except self._dask.CancelledError:
            raise InputError(f"the scheduler at '{self._address}' has gone") from None

    def close(self) -> None:
        self._client.close()
