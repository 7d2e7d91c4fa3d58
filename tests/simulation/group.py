"""The group's coordinator: members, generations, sessions; range assignment; eager rebalances."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.broker import Broker, refused
from tests.simulation.schedule import SECOND_US, Process

SESSION_US = 10 * SECOND_US
MAX_POLL_US = 90 * SECOND_US


class Metadata(NamedTuple):
    """What a consumer knows of its membership; a member of "" is none, and nothing is checked of it."""

    group: str
    member: str
    generation: int


@dataclass(eq=False)
class Member:
    """`joined`: it has asked for the generation that is being formed, or has it."""

    name: str
    process: Process
    joined: bool = False
    partitions: Sequence[int] = ()
    generation: int = -1


@dataclass(eq=False)
class Group:
    """One group's coordinator. A rebalance ends when all have joined, or when the slow ones are put out."""

    broker: Broker
    name: str
    partitions: int
    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    rebalancing: bool = False
    _numbers: int = 0

    def join(self, process: Process) -> Member:
        """A new member; there is a new generation when everyone has come."""
        self._numbers += 1
        member = Member(f"{process.name}#{self._numbers}", process, joined=True)
        self.members[member.name] = member
        process.on_death.append(lambda: self._expires(member, self.broker.schedule.now_us + SESSION_US))
        process.on_pause.append(lambda until_us: self._paused(member, until_us))
        process.on_slow.append(lambda: self._slow(member))
        self._rebalance()
        return member

    def rejoin(self, member: Member) -> None:
        member.joined = True
        self._complete()

    def leave(self, member: Member) -> None:
        self.broker.schedule.changes += 1
        if self.members.pop(member.name, None) is not None:
            self._rebalance()

    def knows(self, member: Member) -> bool:
        return self.members.get(member.name) is member

    def check(self, metadata: object) -> None:
        """A transaction's offsets are taken of the generation now only, and of no member without a check."""
        if not isinstance(metadata, Metadata):
            raise refused(KafkaError.UNKNOWN_MEMBER_ID, "no metadata", abort=True)
        if not metadata.member:
            return
        if metadata.member not in self.members:
            self.broker.schedule.saw("offsets of a member that was put out are refused")
            raise refused(KafkaError.UNKNOWN_MEMBER_ID, "unknown member", abort=True)
        if metadata.generation != self.generation:
            self.broker.schedule.saw("offsets of an older generation are refused")
            raise refused(KafkaError.ILLEGAL_GENERATION, "illegal generation", abort=True)

    def _rebalance(self) -> None:
        if not self.rebalancing:
            self.rebalancing = True
            self.broker.schedule.saw("rebalance")
            for member in self.members.values():
                member.joined = member.generation == -1
            began = self.generation
            self.broker.schedule.after(MAX_POLL_US, lambda: self._put_out_slow(began))
        self._complete()

    def _put_out_slow(self, began: int) -> None:
        if self.rebalancing and self.generation == began:
            for name in [name for name, member in self.members.items() if not member.joined]:
                self.broker.schedule.saw("put out: it did not come back to the group in time")
                del self.members[name]
            self._complete()

    def _complete(self) -> None:
        self.broker.schedule.changes += 1
        if self.rebalancing and all(member.joined for member in self.members.values()):
            self.rebalancing = False
            self.generation += 1
            names = sorted(self.members)
            share, more = divmod(self.partitions, len(names)) if names else (0, 0)
            at = 0
            for index, name in enumerate(names):
                size = share + (index < more)
                member = self.members[name]
                member.partitions = range(at, at + size)
                member.generation = self.generation
                at += size
            self.broker.schedule.note(f"{self.name} generation {self.generation}: {names}")

    def _paused(self, member: Member, until_us: int) -> None:
        expires_us = self.broker.schedule.now_us + SESSION_US
        if until_us > expires_us:
            self._expires(member, expires_us)

    def _slow(self, member: Member) -> None:
        """It has its heartbeat, and polls no more: its client leaves the group when the interval is over."""

        def leaves() -> None:
            if member.process.slow_until_us > self.broker.schedule.now_us and self.knows(member):
                self.broker.schedule.saw("put out: it did not come back to the group in time")
                del self.members[member.name]
                self._rebalance()

        self.broker.schedule.after(MAX_POLL_US, leaves)

    def _expires(self, member: Member, at_us: int) -> None:
        def put_out() -> None:
            still = member.process.dead or member.process.paused_until_us > self.broker.schedule.now_us
            if still and self.knows(member):
                self.broker.schedule.saw("session timed out")
                del self.members[member.name]
                self._rebalance()

        self.broker.schedule.at(at_us, put_out)
