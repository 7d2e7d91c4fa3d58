"""What an operating system does about a service that stops loudly."""

import threading
from collections.abc import Mapping
from typing import Any

from tests.fix_rater import STOPPED_LOUDLY, Pipeline, RaterProcess


class Supervisor:
    """Keeps one slot's rater running as an operating system would: only exit code 3 is restarted."""

    def __init__(self, pipeline: Pipeline, slot: int, settings: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._slot = slot
        self._settings = dict(settings)
        self._ending = threading.Event()
        pipeline.tolerated.add(STOPPED_LOUDLY)
        self.restarts = 0
        self.rater = self._start()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor-{slot}", daemon=True)
        self._thread.start()

    def _start(self) -> RaterProcess:
        return self._pipeline.start(slot=self._slot, **self._settings)

    def _watch(self) -> None:
        while not self._ending.wait(0.1):
            if self.rater.exit_code == STOPPED_LOUDLY:
                self.restarts += 1
                self.rater = self._start()

    def end(self) -> None:
        """Stop watching, then the rater, which must end cleanly, or loudly where it was about to."""
        self._ending.set()
        self._thread.join()
        assert self.rater.exit_code in {None, STOPPED_LOUDLY}, self.rater.log()
        if self.rater.exit_code is None:
            code = self.rater.terminate()
            assert code in {0, STOPPED_LOUDLY}, f"exit code {code}:\n{self.rater.log()}"
