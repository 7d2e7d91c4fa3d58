"""Corrections through a real broker: void, amend, re-rate, restarts, deleted state; verified."""

import shutil
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.adapters.corrections import publisher
from rate_book.store import apply
from rater.adapters.rejected import replay_rejected
from rater.core.replay import Selection
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.commands import apply_changed, command, corrections_pending, current, paid, run_of, send
from tests.fault.checks import verify
from tests.fault.proxy import Proxy
from tests.fix_rater import Pipeline, usage_event, whole
from tests.pooled_book import POOLED_BOOK

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

DAY_US = 86_400_000_000
NOON_US = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2  # of yesterday


@pytest.fixture
def pooled(pipeline: Pipeline) -> Iterator[Pipeline]:
    """The pipeline, with customers who pay by the period: version 2."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    yield pipeline
    pipeline.check_alive()


def events_of(customer: str, numbers: range, **fields: Any) -> list[dict[str, Any]]:
    """1000 input and 100 output tokens each."""
    return [
        usage_event(0, number, customer_id=customer, event_time_us=NOON_US, **fields) for number in numbers
    ]


def test_void_and_amend_over_restarts_and_lost_state(pooled: Pipeline) -> None:
    """3000 input tokens are 2500 x 0.003 + 1 + 500 x 0.002 = 9.5, 300 output tokens 3: together 12.5. Without
    the second event 2000 are 6 and 200 are 2: 8. The third with 2000 input tokens: 3000 are 9.5 again, and
    200 output tokens 2: 11.5. The others pay 0.0045 an event.
    """
    pooled.emit([*events_of("steps", range(3)), *events_of("customer-7", range(3))])
    rater = pooled.start()
    pooled.wait_drained()
    assert paid(pooled) == {"steps": Fraction("12.5"), "customer-7": Fraction("0.0135")}
    held = current(pooled)
    voids = [command(held[who, "event-1"], "void", "void") for who in ("steps", "customer-7")]
    send(pooled, voids)
    assert paid(pooled) == {"steps": Fraction(8), "customer-7": Fraction("0.009")}
    rater.kill9()
    shutil.rmtree(pooled.directory / "state")
    rater = pooled.start()
    amended = whole(
        events_of("steps", range(2, 3), usage={"input_tokens": "2000", "output_tokens": "100"})[0]
    )
    amend = command(
        held["steps", "event-2"], "amend", "amend", amended_event=CODEC.encode("UsageEvent", amended)
    )
    stale = command(held["steps", "event-2"], "void", "too late")
    send(pooled, [*voids, amend, stale])
    assert rater.terminate() == 0
    assert paid(pooled) == {"steps": Fraction("11.5"), "customer-7": Fraction("0.009")}
    assert [(it["reason"], it["topic"]) for it in pooled.rejected()] == [
        ("stale_correction", "usage.corrections")
    ]
    verify(pooled)


@pytest.mark.parametrize("forget", [False, True])
def test_a_rerate_of_a_period_over_restarts(pooled: Pipeline, *, forget: bool) -> None:
    """Five of 1000 input and 100 output tokens under version 2: 2500 x 0.003 + 1 + 2500 x 0.002 = 13.5, and
    500 x 0.01 = 5. While the re-rate runs one more arrives: under version 3, 6000 input tokens are
    2500 x 0.004 + 3500 x 0.001 = 13.5, and 600 output tokens 600 x 0.004 = 2.4: together 15.9.
    """
    pooled.emit(events_of("steps", range(5)))
    rater = pooled.start(rater__batch_records_max=2)
    pooled.wait_drained()
    assert paid(pooled) == {"steps": Fraction("18.5")}
    apply_changed(pooled)
    commands = run_of(current(pooled), "steps", 3, "run-1")
    send(pooled, commands[:3])
    rater.kill9()
    if forget:
        shutil.rmtree(pooled.directory / "state")
    rater = pooled.start(rater__batch_records_max=2)
    pooled.emit(events_of("steps", range(5, 6)))
    pooled.wait_drained()
    send(pooled, commands)  # the first three again
    assert rater.terminate() == 0
    assert paid(pooled) == {"steps": Fraction("15.9")}
    ratings = [it["rating"] for it in pooled.rated()]
    assert [it["leg"] for it in ratings].count("replacement") == 5
    keys = {message.key(): message.value() for message in pooled.read(topics.RATER_STATE)}
    runs = [value for key, value in keys.items() if (key or b"").startswith(b"u/")]
    assert runs == [None, None]  # closed, both pools
    verify(pooled)


def test_an_older_version_is_loaded_when_a_command_needs_it(pooled: Pipeline) -> None:
    """A process that knows version 3 only loads the older one when a command asks for it.

    1000 input tokens are 4 under version 3, 100 output tokens 1.
    """
    pooled.emit(events_of("steps", range(2)))
    rater = pooled.start()
    pooled.wait_drained()
    apply_changed(pooled)
    assert rater.terminate() == 0
    pooled.start()
    pooled.wait_frames(1)
    send(pooled, [command(current(pooled)["steps", "event-0"], "void", "void")])
    assert paid(pooled) == {"steps": Fraction(5)}
    verify(pooled)


def test_a_command_waits_for_the_version_that_it_needs_while_events_go_on(pooled: Pipeline) -> None:
    """PostgreSQL goes away when version 3 is confirmed. An event of 1000 and 100 under it is rated meanwhile:
    2000 input tokens are 8, 200 output tokens 2. Afterwards one of the two is voided: 4 and 1 are left.
    """
    pooled.emit(events_of("steps", range(1)))
    rater = pooled.start()
    pooled.wait_drained()
    apply_changed(pooled)
    assert rater.terminate() == 0
    given = conninfo_to_dict(pooled.dsn)
    proxy = Proxy(str(given["host"]), int(str(given["port"])))
    rater = pooled.start(postgres__dsn=make_conninfo(pooled.dsn, port=proxy.port))
    rater.wait_owner()
    proxy.cut()
    void = command(current(pooled)["steps", "event-0"], "void", "void")
    pooled.emit_raw([void], topic=topics.USAGE_CORRECTIONS)
    pooled.emit(events_of("steps", range(1, 2)))
    pooled.wait_drained()
    assert paid(pooled) == {"steps": Fraction(10)}
    assert corrections_pending(pooled) == 1
    proxy.mend()
    send(pooled, [])
    assert paid(pooled) == {"steps": Fraction(5)}
    assert rater.terminate() == 0
    proxy.cut()
    verify(pooled)


def test_poison_commands_stop_nothing_and_a_misrouted_one_is_replayed_under_its_customer(
    pooled: Pipeline,
) -> None:
    """The void that came under another key takes 0.0045 of 0.009 back when it goes again."""
    pooled.emit(events_of("customer-7", range(2)))
    pooled.start()
    pooled.wait_drained()
    held = current(pooled)["customer-7", "event-0"]
    key, void = command(held, "void", "void")
    _, endless = command(held, "void", "endless", customer_id="c" * 3_000_000)
    with publisher(pooled.settings) as out:  # it may write 4 MiB
        out.send(pooled.prefix + topics.USAGE_CORRECTIONS, key, endless, {})
    send(pooled, [(key, b"no command"), (b"somebody-else", void)])
    reasons = {it["reason"]: it["customer_id"] for it in pooled.rejected()}
    assert reasons == {"undecodable": None, "invalid_field": None, "misrouted": "customer-7"}
    for _ in range(2):  # the second time it is repeated
        done = replay_rejected(pooled.settings, Selection(reasons=frozenset({"misrouted"})))
        assert (done.published, done.skipped) == (1, [])
    send(pooled, [])
    assert paid(pooled) == {"customer-7": Fraction("0.0045")}
    assert len(pooled.rated()) == 3
    verify(pooled)
