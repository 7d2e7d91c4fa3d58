"""The ledger as it is wired for service, stepped until it has so many rows."""

import argparse

from bench.meter import Meter
from ledger.__main__ import assemble
from runtime.settings import SettingsLoader


def main() -> None:
    """Take over `--events` rated records; settings come from the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, required=True)
    arguments = parser.parse_args()
    meter = Meter()
    ledger = assemble(SettingsLoader.of_process())
    before = 0

    def done() -> bool:
        nonlocal before
        rated = ledger.counters.rated
        meter.batch(rated - before)
        before = rated
        return bool(rated >= arguments.events)

    ledger.run(done)
    meter.extra["transactions"] = ledger.counters.transactions
    meter.report()


if __name__ == "__main__":
    main()
