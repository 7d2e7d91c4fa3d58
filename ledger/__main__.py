"""Runs the ledger's part of this version, verification, and prints its report: `python -m ledger`."""

import json
import sys

from ledger.core.report import Report
from ledger.service import verify
from ledger.settings import LedgerSettings
from runtime.settings import SettingsLoader


def main(settings: LedgerSettings) -> Report:
    """Verifies everything once. Raises InfrastructureError where Kafka or PostgreSQL is away."""
    return verify(settings)


if __name__ == "__main__":
    report = main(LedgerSettings.load(SettingsLoader.of_process()))
    print(json.dumps(report.as_json()))
    sys.exit(0 if report.verified else 1)
