"""The `ratestream` command: finds the command by name, and turns known failures into exit codes.

Exit codes: 0 fine, 1 findings, 2 usage, 3 infrastructure, 4 unpriced; 70 is a bug, shown with its traceback.
"""

import logging
import sys
import traceback

import click

from cli.lazy import LazyGroup
from runtime.settings import LogSettings, SettingsLoader, process_environment
from runtime.telemetry import setup_logging

# Name -> where it is; a command is imported when it is asked for.
COMMANDS = {
    "stack": "cli.stack.commands:stack",
    "topics": "cli.topics:topics",
    "book": "cli.book:book",
    "budget": "cli.budget:budget",
    "price": "cli.price:price",
    "emit": "cli.emit:emit",
    "replay": "cli.replay:replay",
    "run": "cli.run:run",
    "rejected": "cli.rejected:rejected",
    "void": "cli.correct:void",
    "amend": "cli.correct:amend",
    "rerate": "cli.rerate:rerate",
    "verify": "cli.verify:verify",
    "reconcile": "cli.reconcile:reconcile",
    "explain": "cli.explain:explain",
    "totals": "cli.totals:totals",
    "usage": "cli.usage:usage",
    "margin": "cli.margin:margin",
    "concentration": "cli.margin:concentration",
    "query": "cli.query:query",
    "queries": "cli.query:queries",
    "whatif": "cli.query:whatif",
    "unpriced": "cli.usage:unpriced",
    "ledger": "cli.ledger:ledger",
    "statement": "cli.statement:statement",
    "alerts": "cli.alerts:alerts",
    "demo": "cli.demo:demo",
}

FINDINGS, USAGE, INFRASTRUCTURE, BUG = 1, 2, 3, 70

# Failures of libraries and of parts that cannot know of exit codes, by full name, so that nothing is imported
# for their sake. A class that has an `exit_code` of its own needs no entry.
_EXIT_CODES = {
    "cimpl.KafkaException": INFRASTRUCTURE,
    "psycopg.OperationalError": INFRASTRUCTURE,
    "schemas.errors.WireError": USAGE,
    "pricing.errors.BookError": FINDINGS,
    "pricing.errors.PricingError": USAGE,
    "producers.core.trace.TraceError": USAGE,
}

log = logging.getLogger(__name__)


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ratestream")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure. Also: RATESTREAM_DEBUG=1.")
@click.pass_context
def ratestream(context: click.Context, *, debug: bool) -> None:
    """Meter and rate AI usage: each event priced exactly, once, explainable years later.

    Exit codes: 0 fine, 1 findings, 2 usage, 3 infrastructure, 4 unpriced.

    Example: ratestream stack up
    """
    context.obj = {"debug": debug}
    settings = SettingsLoader.of_process().section("log", LogSettings)
    setup_logging(settings.level, settings.format)


def exit_code(error: BaseException) -> int | None:
    """Return the exit code of a known failure, None for one that is a bug."""
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_EXIT_CODES[name] for name in names if name in _EXIT_CODES), None)


def main() -> None:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv[1:] or process_environment().get("RATESTREAM_DEBUG", "") not in {"", "0"}
    try:
        result = ratestream.main(standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as refused:
        refused.show()
        sys.exit(refused.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the one place where failures become exit codes
        code = exit_code(error)
        if debug or code is None:
            traceback.print_exc()
        if code is not None:
            click.echo(f"ratestream: {error}", err=True)
        sys.exit(BUG if code is None else code)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
