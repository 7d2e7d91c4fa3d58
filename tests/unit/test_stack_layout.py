"""What a stack's ports and number of brokers make of a broker's configuration file."""

from pathlib import Path

from cli.stack.layout import Layout

DATA = Path("/data")


def lines(layout: Layout, broker: int) -> dict[str, str]:
    return dict(line.split("=", 1) for line in layout.properties(broker, DATA).splitlines())


def test_one_broker_has_one_copy_of_everything() -> None:
    found = lines(Layout(ports={"kafka": 9092, "controller": 9093}), 1)
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert found["transaction.state.log.replication.factor"] == "1"
    assert "default.replication.factor" not in found


def test_three_brokers_vote_and_copy_and_advertise_proxies() -> None:
    ports = {
        f"{kind}{number}": base + index
        for base, kind in ((9000, "kafka"), (9100, "controller"), (9200, "proxied"))
        for index, number in enumerate(("", "-2", "-3"))
    }
    layout = Layout(3, (8001, 8002, 8003), ports=ports)
    assert sorted(layout.port_names()) == sorted(ports)
    assert layout.bootstrap_servers == "127.0.0.1:9000,127.0.0.1:9001,127.0.0.1:9002"
    found = lines(layout, 2)
    assert found["node.id"] == "2"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9100,2@127.0.0.1:9101,3@127.0.0.1:9102"
    assert found["listeners"].startswith("PLAINTEXT://127.0.0.1:9001,PROXIED://127.0.0.1:9201,")
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9001,PROXIED://127.0.0.1:8002"
    assert (found["offsets.topic.replication.factor"], found["min.insync.replicas"]) == ("3", "2")
    assert found["transaction.state.log.min.isr"] == "2"


def test_two_brokers_go_on_with_one() -> None:
    layout = Layout(2)
    assert (layout.replicas, layout.in_sync) == (2, 1)
