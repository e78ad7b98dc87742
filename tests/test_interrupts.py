"""Signals end a command, though what they interrupt raises an error of its own."""

import signal
import threading

import pytest
import typer

from bayestl.cli.app import user_errors
from bayestl.interrupts import ENDINGS, heard_signals


def end(number, frame):
    raise SystemExit(128 + number)


@pytest.fixture
def handlers():
    """What the command installs; the handlers of the tests come back."""
    earlier = {number: signal.getsignal(number) for number in ENDINGS}
    for number in ENDINGS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else end)
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


def imported(number):
    """What a compiled module does that is interrupted while it is imported."""
    try:
        signal.raise_signal(number)
    except BaseException:
        raise ImportError("initialization failed") from None


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("contexts", [1, 2])
def test_an_error_after_a_signal_is_the_signal(number, contexts, handlers):
    def nested(depth):
        with heard_signals():
            nested(depth - 1) if depth else imported(number)

    expected = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with pytest.raises(expected) as caught:
        nested(contexts - 1)
    if expected is SystemExit:
        assert caught.value.code == 128 + number
    after = signal.getsignal(number)
    assert after is (signal.default_int_handler if number == signal.SIGINT else end)


def test_errors_without_a_signal_are_their_own(handlers):
    with pytest.raises(ImportError, match="no such module"), heard_signals():
        raise ImportError("no such module")


def test_a_command_says_nothing_of_it(handlers, capsys):
    with pytest.raises(typer.Exit) as interrupted, user_errors():
        imported(signal.SIGINT)
    assert interrupted.value.exit_code == 130
    with pytest.raises(SystemExit) as ended, user_errors():
        imported(signal.SIGTERM)
    assert ended.value.code == 143
    with pytest.raises(typer.Exit) as wrong, user_errors():
        raise ImportError("no such module")
    assert wrong.value.exit_code == 1
    assert capsys.readouterr() == ("", "error: no such module\n")


def test_other_threads_change_nothing(handlers):
    before, seen = signal.getsignal(signal.SIGINT), []

    def inside():
        with heard_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
