"""The local state's directory: which cluster and topics it belongs to. A state of other topics is discarded,
because a topic made anew has another id under the same name, and its offsets and sequences mean nothing.
"""

import json
import logging
import shutil
from pathlib import Path

from runtime.kafka.topology import Topology

_LOG = logging.getLogger(__name__)
_FORMAT = 1
_FILE = "identity.json"
_DISCARD = "discard"


def prepared(directory: Path, topology: Topology, deltas: str, changelog: str) -> Path:
    """The directory of the tables, emptied where it belongs to something else or was found wrong."""
    tables = directory / "tables"
    wanted = {
        "format": _FORMAT,
        "cluster_id": topology.cluster_id,
        "deltas_topic_id": topology.topic_ids[deltas],
        "changelog_topic_id": topology.topic_ids[changelog],
    }
    known = directory / _FILE
    marked = directory / _DISCARD
    if tables.exists() and (marked.exists() or _read(known) != wanted):
        _LOG.warning("%s: the local state belongs to other topics or was given up: discarded", tables)
        shutil.rmtree(tables)
    marked.unlink(missing_ok=True)
    tables.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(wanted), encoding="utf-8")
    return tables


def give_up(directory: Path) -> None:
    """Have the next start discard the local state."""
    (directory / _DISCARD).touch()


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
