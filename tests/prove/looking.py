"""The checks that hold at every moment, in a process of their own: `python -m tests.prove.looking FOLDER`.

librdkafka 2.16 ends its process where brokers die under an admin client's questions (assertion refcnt > 0).
That must not end the run: whoever started this starts it again. It prints one JSON text a finding.
"""

import json
import sys
import time
from pathlib import Path

from runtime.settings import KafkaSettings
from tests.prove import checks
from tests.prove.journal import Journal
from tests.prove.watching import AWAY
from tests.prove.world import World

WORLD_FILE = "world.json"
_EVERY_S = 5.0


def store(world: World) -> None:
    """Write what this process needs to know of the world."""
    kafka = {name: value for name, value in world.kafka.model_dump().items() if value is not None}
    told = {"kafka": kafka, "dsn": world.dsn, "zone": world.zone, "settings": dict(world.settings)}
    (world.directory / WORLD_FILE).write_text(json.dumps(told), encoding="utf-8")


def main(directory: Path) -> None:
    """Look until ended."""
    told = json.loads((directory / WORLD_FILE).read_text(encoding="utf-8"))
    kafka = KafkaSettings.model_validate(told["kafka"])
    world = World(kafka, told["dsn"], directory, zone=told["zone"], settings=told["settings"])
    seen: set[str] = set()
    while True:
        time.sleep(_EVERY_S)
        try:
            found = checks.continuous(world, Journal.load(directory / "journal.jsonl"))
        except AWAY:
            continue
        for text in found:
            if text not in seen:
                seen.add(text)
                print(json.dumps(text), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
