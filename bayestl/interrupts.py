"""Signals that end a process end it, whatever the code that they meet makes of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""An interrupt, a request to end, and a terminal that has gone."""


@contextmanager
def heard_signals() -> Iterator[None]:
    """A context in which an error that follows a signal is what the handler of the signal raised: a ``KeyboardInterrupt``.

    Compiled modules that are interrupted while they are imported raise an ``ImportError`` of their own, and a library may
    do the like with a file that it reads.  Outside of the main thread, and where nothing handles signals, nothing changes.
    """
    raised: list[BaseException] = []

    def heard(handle: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], object]:
        def handler(number: int, frame: FrameType | None) -> None:
            try:
                handle(number, frame)
            except BaseException as ending:
                raised.append(ending)
                raise

        return handler

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in ENDINGS:
                earlier = signal.getsignal(number)
                if callable(earlier):
                    stack.callback(signal.signal, number, earlier)
                    signal.signal(number, heard(earlier))
        try:
            yield
        except Exception:
            if raised:
                raise raised[-1] from None
            raise
