"""Processes that tests kill.

A server without threads forks them: a fork of a test's own process, which has threads, may wait for ever for a lock.
"""

import contextlib
import multiprocessing
import random

import pandas as pd

from bayestl.active import Campaign
from support.campaigns import answers, campaign

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["bayestl.active.campaign", "bayestl.models.exact.difference", "bayestl.posterior"])
PICK = {
    "task": "another",
    "cost": 1.0,
    "predicted": None,
    "lower": None,
    "upper": None,
    "hit": None,
    "reason": "a test",
}


class Worker:
    """A process that does ``work(*args, say)``, where ``say`` takes bytes."""

    def __init__(self, work, *args):
        self._heard, said = SERVER.Pipe(duplex=False)
        self.process = SERVER.Process(target=work, args=(*args, said.send_bytes), daemon=True)
        self.process.start()
        said.close()

    def hear(self, seconds=120):
        """What it says next."""
        assert self._heard.poll(seconds), f"a process said nothing for {seconds} s"
        return self._heard.recv_bytes()

    def kill(self):
        """Kill it; what it has said since it was last heard."""
        self.process.kill()
        self.process.join()
        rest = []
        with contextlib.suppress(EOFError, OSError), self._heard:  # the last word may be cut off
            while True:
                rest.append(self._heard.recv_bytes())
        return rest


def save_again_and_again(fits, folder, say):
    """Save models over each other; say so after the second."""
    for k in range(10_000):
        fits[k % len(fits)].save(folder)
        if k == 1:
            say(b"!")


def save(fit, folder, say):
    say(b"!")
    fit.save(folder)


def tell(path, start, say):
    """Tell values from ``start`` on, and say each when it is told."""
    own = Campaign.open(path, verbose=False)
    for i in range(start, 10_000):
        own.tell(pd.DataFrame({"row": [f"m{i % 40}"], "task": ["exp"], "value": [float(i)]}))
        say(i.to_bytes(4, "little"))


def tell_suggest_withdraw(path, start, seed, say):
    """Tell, suggest and withdraw, and say of each when it is done."""
    own, draw = Campaign.open(path, verbose=False), random.Random(seed)
    for i in range(start, start + 10_000):
        kind = draw.choice(["tell", "tell", "suggest", "withdraw"])
        if kind == "tell":
            rows = [f"m{(i + k) % 40}" for k in (0, 7)]
            own.tell(pd.DataFrame({"row": rows, "task": ["exp", "dft"], "value": [float(i), -float(i)]}))
        elif kind == "suggest":
            own.ledger.suggest([{**PICK, "row": i, "score": float(i)}], None, "none", i)
        else:
            known = own.results("known")["id"].tolist()
            own.withdraw(known[-1:])
            kind, i = "withdraw", known[-1] if known else 0
        say(f"{kind} {i}".encode())


def begin(path, say):
    say(b"!")
    campaign(path)


def suggest_and_tell(path, times, say):
    own = Campaign.open(path, verbose=False)
    for _ in range(times):
        own.tell(answers(own.suggest(2)))
    say(b"!")
