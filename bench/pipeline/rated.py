"""The rater as it is wired for service, stepped until it has rated so many events."""

import argparse
import cProfile
import time
from contextlib import ExitStack

from bench.meter import Meter
from rater.__main__ import assemble, tune_collector
from runtime.settings import SettingsLoader


def main() -> None:
    """Rate `--events` events; settings come from the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--profile", help="write cProfile's figures to this file")
    arguments = parser.parse_args()
    meter = Meter()
    profile = cProfile.Profile() if arguments.profile else None
    with ExitStack() as stack:
        rater = assemble(SettingsLoader.of_process(), stack)
        tune_collector()
        started_s = time.monotonic()
        before = 0
        while rater.counters.rated < arguments.events:
            rater.step()
            meter.batch(rater.counters.rated - before)
            if before == 0 and rater.counters.rated:
                meter.extra["first_batch_s"] = round(time.monotonic() - started_s, 3)
                if profile:
                    profile.enable()
            before = rater.counters.rated
        if profile:
            profile.disable()
            profile.dump_stats(arguments.profile)
        meter.extra["transactions"] = rater.counters.transactions
    meter.report()


if __name__ == "__main__":
    main()
