"""The fixtures themselves: what a test is given is its own, and is what it says."""

import pytest

from tests.fix_kafka import KafkaFixture
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import wait_for


@pytest.mark.broker
def test_read_all_returns_committed_records_only_unless_asked(kafka: KafkaFixture) -> None:
    """Two records in an aborted transaction, one in a committed one: 1 read committed, 3 uncommitted."""
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + "usage.rated"
    producer = kafka.producer(transactional_id=f"{settings.topic_prefix}x")
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, b"aborted 1", partition=0)
    producer.produce(topic, b"aborted 2", partition=3)
    producer.flush(10)
    producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"committed", partition=3)
    producer.commit_transaction(10)
    # A commit is answered before its markers stand in the partitions.
    wait_for(lambda: bool(kafka.read_all(topic)), "the commit's marker")
    assert [message.value() for message in kafka.read_all(topic)] == [b"committed"]
    assert len(kafka.read_all(topic, read_committed=False)) == 3


@pytest.mark.postgres
def test_a_test_has_a_database_of_its_own(postgres: PostgresFixture) -> None:
    with postgres.connect() as connection:
        row = connection.execute(
            "SELECT current_database(), count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        name, tables = row.fetchone() or ("", -1)
    assert str(name).startswith("t_")
    assert tables == 0
