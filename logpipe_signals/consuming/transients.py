"""Errors that pass: a deadlock, a serialization failure, a lost connection. The whole transaction is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import InterfaceError, OperationalError, close_old_connections
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

CONTENTION_ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
LOST_STATES = ("08", "57P01", "57P02", "57P03", "53")
CONTENTION_STATES = ("40", "55P03")
MYSQL_LOST = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2055, 4031})
MYSQL_CONTENTION = frozenset({1020, 1205, 1213, 3572})
SQLITE_CONTENTION = ("database is locked", "database table is locked", "database is busy")


def is_transient(error: BaseException | None) -> bool:
    """Tell whether the same transaction may succeed when it is tried again."""
    return lost_connection(error) or is_contention(error)


def lost_connection(error: BaseException | None) -> bool:
    """Tell whether the database went away."""
    return any(_lost(cause) for cause in _causes(error))


def is_contention(error: BaseException | None) -> bool:
    """Tell whether another transaction was in the way."""
    return any(_contended(cause) for cause in _causes(error))


def repeating(*, stopped: Callable[[], bool], pause: Callable[[float], None]) -> Retrying:
    """
    Return what repeats a transaction while its errors are transient, with growing pauses.

    Contention is given up after some attempts. A database that is away is waited for until the process is told to stop.
    """

    def given_up(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return not lost_connection(error) and state.attempt_number >= CONTENTION_ATTEMPTS

    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        stop=lambda state: given_up(state) or stopped(),
        before_sleep=lambda state: close_old_connections(),
        sleep=pause,
        reraise=True,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _lost(error: BaseException) -> bool:
    if isinstance(error, InterfaceError):
        # A cursor that user code closed is no lost connection. MySQL's clients say no more than (0, '').
        return "connection" in str(error).lower() or error.args[:1] == (0,)
    if not isinstance(error, OperationalError):
        return False
    state, number = _sqlstate(error), _mysql_number(error)
    if number:
        return number in MYSQL_LOST
    return state.startswith(LOST_STATES) if state else _is_psycopg(error)


def _contended(error: BaseException) -> bool:
    if not isinstance(error, OperationalError):
        return False
    if _mysql_number(error) in MYSQL_CONTENTION or str(error).lower().startswith(SQLITE_CONTENTION):
        return True
    return _sqlstate(error).startswith(CONTENTION_STATES)


def _sqlstate(error: BaseException) -> str:
    cause = error.__cause__
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _is_psycopg(error: BaseException) -> bool:
    """An OperationalError of PostgreSQL without a state never reached the server."""
    return type(error.__cause__).__module__.startswith("psycopg")


def _mysql_number(error: BaseException) -> int:
    from_mysql = type(error.__cause__).__module__.partition(".")[0] in {"MySQLdb", "pymysql"}
    number = error.args[0] if from_mysql and error.args else 0
    return number if isinstance(number, int) else 0
