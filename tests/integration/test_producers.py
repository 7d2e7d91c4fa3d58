"""`ratestream emit` and `ratestream replay` as a user runs them, against a real broker."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import KafkaSettings, process_environment
from schemas import codec, topics
from tests.fix_kafka import KafkaFixture
from tests.unit.producers.test_service import GOOD

pytestmark = pytest.mark.broker

BOTH = ("azure_llm_2023_conv", "azure_llm_2023_code")


class Command:
    """The command line with its own project directory, on one test's topics."""

    def __init__(self, settings: KafkaSettings, folder: Path) -> None:
        self._folder = folder
        self._environment = process_environment() | {
            "RATESTREAM_PROJECT_DIR": str(folder),
            "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "RATESTREAM_KAFKA__TOPIC_PREFIX": settings.topic_prefix,
            "PYTHONWARNINGS": "default",
        }

    def run(self, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        command = [sys.executable, "-m", "cli", *arguments]
        ran = subprocess.run(
            command, input=given, capture_output=True, env=self._environment, timeout=120, check=False
        )
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


@pytest.fixture
def settings(kafka: KafkaFixture) -> KafkaSettings:
    return kafka.create_topics(kafka.topic_prefix())


@pytest.fixture
def command(settings: KafkaSettings, tmp_path: Path) -> Command:
    return Command(settings, tmp_path)


def events_of(kafka: KafkaFixture, settings: KafkaSettings) -> list[dict[str, Any]]:
    found = kafka.read_all(settings.topic_prefix + topics.USAGE_EVENTS)
    return [codec.decode("UsageEvent", message.value()) for message in found]


def test_emit_sends_good_lines_and_tells_bad_ones(
    kafka: KafkaFixture, settings: KafkaSettings, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(GOOD % 1 + GOOD.replace(b":1}", b":-1}") % 2 + GOOD % 3)
    code, out, err = command.run("emit", str(file))
    assert code == 1
    assert "line 2: data.usage.input_tokens is '-1'; rule: a plain decimal" in err
    assert out == "2 events sent, 2 acknowledged; 1 bad lines not sent\n"
    assert [event["event_id"] for event in events_of(kafka, settings)] == ["1", "3"]


def test_emit_reads_standard_input_and_answers_in_json(command: Command) -> None:
    code, out, err = command.run("emit", "-", "--json", given=GOOD % 1)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"sent": 1, "acknowledged": 1, "bad": [], "unacknowledged": []}


def test_emit_says_how_to_get_a_broker_where_there_is_none(tmp_path: Path, settings: KafkaSettings) -> None:
    nobody = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    command = Command(nobody, tmp_path)
    command._environment |= {"RATESTREAM_PRODUCERS__FLUSH_S_MAX": "1"}
    code, out, err = command.run("emit", "-", given=GOOD % 1)
    assert code == 3
    assert "not acknowledged: amber-bank 1" in err
    assert "send them again, their ids stay the same" in out


def test_a_whole_replay_is_quick_and_a_second_one_sends_the_same(
    kafka: KafkaFixture, settings: KafkaSettings, command: Command
) -> None:
    began_s = time.monotonic()
    code, out, err = command.run("replay", *BOTH, "--as-fast-as-possible", "--json")
    took_s = time.monotonic() - began_s
    first = json.loads(out)
    assert (code, first["sent"], first["acknowledged"]) == (0, 28_185, 28_185), err
    assert "assigned by a fixed seed" in first["assigned"]
    assert first["start_stored"] is False
    events = events_of(kafka, settings)
    assert len({event["event_id"] for event in events}) == len(events) == 28_185
    assert took_s < 30, "6 s on an idle machine"

    code, out, _ = command.run("replay", *reversed(BOTH), "--as-fast-as-possible", "--json", "--limit", "100")
    second = json.loads(out)
    assert (second["start"], second["start_stored"]) == (first["start"], True)
    again = events_of(kafka, settings)
    ids = {event["event_id"] for event in events}
    assert len(again) == 28_285
    assert {event["event_id"] for event in again} == ids


def test_a_replay_shows_people_its_start_its_progress_and_what_is_assigned(command: Command) -> None:
    start = "2026-11-18T12:00:00Z"
    code, out, err = command.run("replay", BOTH[1], "--speed", "1000000", "--limit", "50", "--start", start)
    assert (code, err) == (0, "")
    assert "50 events from 2026-11-18T12:00:00.000000Z on" in out
    assert "assigned by a fixed seed" in out
    assert out.endswith("50 events sent, 50 acknowledged\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-trace"], "azure_llm_2023_conv"),
        ([BOTH[0], "--start", "yesterday"], "RFC 3339"),
        ([BOTH[0], "--speed", "0"], "--speed"),
        ([BOTH[0], "--speed", "2", "--as-fast-as-possible"], "exclude each other"),
        ([BOTH[0], "--new", "--start", "2026-11-18T12:00:00Z"], "exclude each other"),
        ([BOTH[0], BOTH[0]], "twice"),
    ],
)
def test_a_replay_that_cannot_be_is_refused(command: Command, arguments: list[str], told: str) -> None:
    code, _, err = command.run("replay", *arguments)
    assert code == 2
    assert told in err
