"""How many brokers a stack has and where each listens: what their configuration files are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PARTITIONS = 4
REPLICAS_MAX = 3
BROKERS_MAX = 9

# What a laptop needs: few internal partitions, time-outs and housekeeping in seconds, so that tests see
# retention, expired sessions and abandoned transactions soon, and a killed broker may soon register again.
# What concerns data (acks, flushes, formats) is Kafka's default.
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
log.dirs={data}
auto.create.topics.enable=false
num.partitions={partitions}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.retention.check.interval.ms=5000
log.initial.task.delay.ms=1000
log.segment.delete.delay.ms=1000
log.cleaner.backoff.ms=5000
log.cleaner.dedupe.buffer.size=16777216
"""

# With --secure. Clients and brokers log in over TLS; a controller cannot take SCRAM, so brokers and
# controllers know each other by their certificate. What no ACL allows is refused, but to the super users.
_SECURED = """\
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={jaas}
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={key}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
ssl.endpoint.identification.algorithm=https
ssl.enabled.protocols=TLSv1.3,TLSv1.2
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users={super_users}
"""

# With more than one broker: what a topic gets that says nothing itself.
_REPLICATED = """\
default.replication.factor={replicas}
min.insync.replicas={in_sync}
"""


def named(kind: str, broker: int) -> str:
    """Return the name of a broker's port, folder or process: the first one's has no number."""
    return kind if broker == 1 else f"{kind}-{broker}"


@dataclass(frozen=True)
class Layout:
    """The brokers of one stack, numbered from 1, each a controller too.

    `proxied`: for each broker the port at which a proxy stands, whose clients are told of such ports only;
    the brokers have a second listener for it (`ports["proxied"]`, `ports["proxied-2"]`, ...). Empty: none.
    """

    brokers: int = 1
    proxied: tuple[int, ...] = ()
    secure: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def numbers(self) -> range:
        """The brokers' numbers."""
        return range(1, self.brokers + 1)

    @property
    def replicas(self) -> int:
        """The copies of each partition."""
        return min(self.brokers, REPLICAS_MAX)

    @property
    def in_sync(self) -> int:
        """The copies that must have a record before it is acknowledged."""
        return max(1, self.replicas - 1)

    @property
    def bootstrap_servers(self) -> str:
        """Every broker's direct address, comma separated."""
        return ",".join(self.endpoint(broker) for broker in self.numbers)

    def port_names(self) -> list[str]:
        """The names of Kafka's ports."""
        kinds = ["kafka", "controller", *(["proxied"] if self.proxied else [])]
        return [named(kind, broker) for broker in self.numbers for kind in kinds]

    def port(self, kind: str, broker: int) -> int:
        """Return a port of a broker: kafka, controller or proxied."""
        return self.ports[named(kind, broker)]

    def endpoint(self, broker: int) -> str:
        """Return the address at which this broker is reached directly."""
        return f"127.0.0.1:{self.port('kafka', broker)}"

    def properties(self, broker: int, data: Path, secured: Mapping[str, str] | None = None) -> str:
        """Return the configuration file of one broker, its data in the folder `data`.

        `secured`: jaas, key, ca and super_users, where the layout is secure; the text then holds a password.
        """
        listens = {"SASL_SSL" if self.secure else "PLAINTEXT": self.port("kafka", broker)}
        advertised = dict(listens)
        if self.proxied:
            listens["PROXIED"] = self.port("proxied", broker)
            advertised["PROXIED"] = self.proxied[broker - 1]
        listens["CONTROLLER"] = self.port("controller", broker)
        text = _PROPERTIES + (_REPLICATED if self.brokers > 1 else "") + (_SECURED if self.secure else "")
        return text.format(
            node=broker,
            voters=",".join(f"{each}@127.0.0.1:{self.port('controller', each)}" for each in self.numbers),
            listeners=_addresses(listens),
            advertised=_addresses(advertised),
            protocols=",".join(f"{name}:{self._protocol(name)}" for name in listens),
            data=data,
            partitions=PARTITIONS,
            replicas=self.replicas,
            in_sync=self.in_sync,
            **(secured or {}),
        )

    def _protocol(self, listener: str) -> str:
        if not self.secure:
            return "PLAINTEXT"
        return "SSL" if listener == "CONTROLLER" else "SASL_SSL"


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
