"""How a service's process begins and ends: logging set up, a known failure in one line, its exit code."""

import logging
import sys
from collections.abc import Callable

from runtime.settings import LogSettings, SettingsLoader
from runtime.telemetry import setup_logging

_LOG = logging.getLogger(__name__)


def run_process(main: Callable[[SettingsLoader], None]) -> None:
    """Run a service's main and exit: 0 when it was told to stop, else the failure's code.

    A failure without an `exit_code` is a bug and ends in its traceback.
    """
    loader = SettingsLoader.of_process()
    settings = loader.section("log", LogSettings)
    setup_logging(settings.level, settings.format)
    try:
        main(loader)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        _LOG.critical("stopped: %s: %s", type(error).__name__, error)
        sys.exit(code)
