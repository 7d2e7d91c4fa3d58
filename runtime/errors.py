"""Failures that a command reports in one line, each with the exit code it ends in."""


class ReportedError(Exception):
    """A failure whose text says all that its reader needs; `exit_code` is what the command returns."""

    exit_code = 1


class FindingError(ReportedError):
    """The command ran and found something wrong (exit code 1)."""

    exit_code = 1


class UsageProblemError(ReportedError):
    """What the caller gave cannot be used (exit code 2)."""

    exit_code = 2


class InfrastructureError(ReportedError):
    """Kafka, PostgreSQL, the network or the machine did not do its part (exit code 3)."""

    exit_code = 3
