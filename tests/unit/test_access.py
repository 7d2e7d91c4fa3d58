"""The declaration of who may do what: by hand, and as the documents and the migrations have it."""

from pathlib import Path

from cli.topics_acls import rights
from runtime.kafka import offsets
from schemas.access import PRINCIPALS, READING_GROUP
from schemas.topics import TOPICS

ROOT = Path(__file__).resolve().parent.parent.parent
TOPIC_NAMES = [topic.name for topic in TOPICS]


def test_what_matters_most_is_declared_so() -> None:
    """Tests of a real broker hold it to the declaration; this holds the declaration to what was meant."""
    writers = {topic: [each.name for each in PRINCIPALS if topic in each.writes] for topic in TOPIC_NAMES}
    assert writers == {
        "usage.events": ["producer", "operator"],  # a replay publishes what was rejected again
        "usage.corrections": ["operator"],
        "usage.rated": ["rater"],
        "usage.rejected": ["rater"],
        "usage.deltas": ["rater"],
        "rater.state": ["rater"],
        "usage.totals": ["aggregator"],
        "budget.alerts": ["guard"],
        "budget.state": ["guard"],
        "aggregator.state": ["aggregator"],
        "aggregator.probe": ["aggregator"],
    }
    assert {each.name: each.groups for each in PRINCIPALS if each.groups} == {
        name: (name,) for name in ("rater", "ledger", "aggregator", "totals", "guard")
    }
    assert {each.name: each.transactions for each in PRINCIPALS if each.transactions} == {
        "rater": ("rater-",),
        "aggregator": ("aggregator-",),
    }


def test_names_carry_the_prefix_of_the_cluster() -> None:
    made = rights("eu.")
    assert {right.name for right in made if not right.name.startswith("eu.")} == {READING_GROUP}
    assert [right.sentence() for right in made if right.user == "producer"] == [
        "producer: write topic eu.usage.events"
    ]
    assert "rater: write transactional_id eu.rater-*" in {right.sentence() for right in made}


def test_every_role_is_made_by_a_migration() -> None:
    migrations = "".join(path.read_text() for path in (ROOT / "runtime" / "migrations").glob("*.sql"))
    roles = [role for each in PRINCIPALS for role in each.roles]
    assert [role for role in roles if f"'{role}'" not in migrations] == []


def test_the_document_shows_what_is_declared() -> None:
    page = (ROOT / "docs" / "operating" / "security.md").read_text()
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:7]]
        for line in page.splitlines()
        if line.startswith("| ")
    }
    for each in PRINCIPALS:
        writes, _, group, ids, role = cells[each.name]
        assert {topic for topic in TOPIC_NAMES if topic in writes} == set(each.writes)
        assert group == ", ".join(each.groups)
        assert ids == ", ".join(f"`{beginning}*`" for beginning in each.transactions)
        assert role.startswith(each.roles[0] if each.roles else "no login")


def test_the_group_that_clients_name_is_the_one_that_may_be_described() -> None:
    assert offsets.READING_GROUP == READING_GROUP
