"""`make compare-prices`."""

import sys

from bench.peers.compare import main

if __name__ == "__main__":
    sys.exit(main())
