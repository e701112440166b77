"""Points evaluated by several processes of this computer."""

import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection as pipes
from multiprocessing import get_context, resource_tracker
from queue import SimpleQueue
from typing import Any

from configs.errors import InputError

from .parcels import Factory, Item, evaluated
from .store import described
from .table import Table

#: items that a process has in hand: one to work on, one to go on with
_WINDOW = 2
#: times that an item is done again when its process has died
RETRIES = 3
#: variables that keep numerical libraries to one thread: processes are as many as there are cores
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(kw_only=True, eq=False)
class _Task:
    item: Any
    deaths: int = 0


class _Worker:
    """A process with the tasks that it has in hand, the first of them being worked on."""

    def __init__(self, factory: bytes) -> None:
        context = get_context("spawn")
        self.pipe, other = context.Pipe()
        self.tasks: deque[_Task] = deque()
        self._process = context.Process(target=_serve, args=(other, factory), daemon=True)
        with _inherited():
            self._process.start()
        other.close()  # the process has the only other end: when it dies, the pipe says so

    def give(self, task: _Task) -> None:
        self.tasks.append(task)
        with suppress(OSError):  # dead: the next answer will say so
            self.pipe.send_bytes(pickle.dumps(task.item))

    def answer(self) -> Table | None:
        """Of the first task; None if the process has died."""
        try:
            done, value, text = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            return None
        if not done:
            value.add_note(f"in a worker process:\n{text}")
            raise value
        return value

    def end(self) -> str:
        """Stop the process if it still runs; says how it ended."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class Processes:
    """Processes of this computer.

    A pool of the standard library forgets what each process was doing when one of them dies. Here
    each has a pipe of its own, so that only what the dead one had in hand is done again, and only
    the task it died on is to blame.
    """

    def __init__(self, factory: Factory, workers: int) -> None:
        self._factory = pickle.dumps(factory)
        self._count = workers
        self._workers: list[_Worker] = []

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Table]]:
        source = (_Task(item=item) for item in items)
        lost: deque[_Task] = deque()
        try:
            while True:
                self._fill(lost, source)
                busy = {worker.pipe: worker for worker in self._workers if worker.tasks}
                if not busy:
                    return
                for pipe in pipes.wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    table = worker.answer()
                    if table is None:
                        lost.extend(self._buried(worker))
                    else:
                        yield worker.tasks.popleft().item, table
        finally:
            if any(worker.tasks for worker in self._workers):
                self.close()  # left early: nobody wants these answers

    def _fill(self, lost: deque[_Task], source: Iterator[_Task]) -> None:
        """Hand out tasks, first to who has least."""
        while True:
            least = min(self._workers, key=lambda worker: len(worker.tasks), default=None)
            load = _WINDOW if least is None else len(least.tasks)
            new = load > 0 and len(self._workers) < self._count
            if load >= _WINDOW and not new:
                return
            task = lost.popleft() if lost else next(source, None)
            if task is None:
                return
            if new or least is None:
                least = _Worker(self._factory)
                self._workers.append(least)
            least.give(task)

    def _buried(self, worker: _Worker) -> Sequence[_Task]:
        """The tasks of a dead worker, to be done again."""
        self._workers.remove(worker)
        how = worker.end()
        guilty = worker.tasks[0]
        guilty.deaths += 1
        if guilty.deaths > RETRIES:
            raise InputError(
                f"workers died {guilty.deaths} times on {described(guilty.item)} ({how}); "
                "if memory is short, use fewer workers"
            )
        return worker.tasks

    def close(self) -> None:
        while self._workers:
            self._workers.pop().end()


@contextmanager
def _inherited() -> Iterator[None]:
    """What a new process gets from this one: single-threaded libraries, and no Ctrl-C.

    A terminal sends Ctrl-C to all processes; it is for the first to end the others. A signal that
    is blocked stays so in a new process, from its first instruction on.
    """
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = {name: os.environ.get(name) for name in _THREADS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(pipe: Any, factory: bytes) -> None:
    """A worker process: answers tasks until the pipe closes."""
    tasks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    runner = None
    while True:
        task = tasks.get()
        try:
            if runner is None:
                runner = pickle.loads(factory)()
            answer = pickle.dumps((True, evaluated(runner, pickle.loads(task)), ""))
        except Exception as error:
            answer = _failure(error)
        try:
            pipe.send_bytes(answer)
        except OSError:  # nobody listens any more
            os._exit(0)


def _receive(pipe: Any, tasks: "SimpleQueue[bytes]") -> None:
    """Take tasks while the process works: who sends them never waits for who answers.

    The pipe closes when the study ends, or is killed: then so does this process, at once.
    """
    try:
        while True:
            tasks.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _failure(error: Exception) -> bytes:
    """An exception for the first process, which may not know its class."""
    text = "".join(traceback.format_exception(error))
    try:
        answer = pickle.dumps((False, error, text))
        pickle.loads(answer)
    except Exception:
        answer = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"), text))
    return answer
