"""Every rated record computed once more, in the order of each customer's sequence, by the oracle.

Original and amended events take up the customer's live periods. A void or an amend leaves each period at the
price of what is left in it; a re-rate of pooled events has periods of its own, by run, and its last command
makes the live amount the price of the live quantity.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import itemgetter

from tests.oracle.amounts import period_price, rounded
from tests.oracle.meters import Impossible, split
from tests.oracle.money import Amount, Pools, in_detail
from tests.oracle.times import in_force
from tests.prove.checks.facts import Facts, Item, Json
from tests.prove.checks.rows import Tally
from tests.prove.checks.story import Identity, KnownBooks, Story, identity_of, number

ADJUSTMENT = "tier_adjustment"
ZERO = Fraction(0)
WITH_AMOUNT = {"unpriced": "partial", "included": "priced"}
Shares = dict[tuple[str, int], tuple[Fraction, Fraction]]
"""What a record takes up: quantity and amount by pool and start of the period."""


Meters = dict[str, Fraction | None]


@dataclass(frozen=True, slots=True)
class Leg:
    """One rated record as it must be."""

    cost: Amount
    price: Amount
    event: Json
    version: int
    revision: int
    period: tuple[int, int]
    leaves: Mapping[str, Fraction]
    shares: Shares
    meters: Mapping[str, Meters]
    """What lines must come to by side and meter; those of a pool together, its adjustments among them."""


@dataclass(slots=True)
class Customer:
    """What the records of one customer have led to."""

    live: Pools = field(default_factory=dict)
    runs: dict[str, Pools] = field(default_factory=dict)
    current: dict[Identity, Leg] = field(default_factory=dict)
    reversed: dict[Identity, str] = field(default_factory=dict)
    """By which correction, until its replacement stands."""


@dataclass(slots=True)
class Again:
    """What all records must be; problems are told to `tally` as they are found."""

    facts: Facts
    story: Story
    tally: Tally
    customers: dict[str, Customer] = field(default_factory=dict)
    legs: dict[tuple[str, int], Leg] = field(default_factory=dict)
    """By customer and sequence."""
    commands: dict[str, Json] = field(default_factory=dict)

    def run(self) -> None:
        """Compute every record of usage.rated again and compare."""
        self.commands = {
            item.record["correction_id"]: item.record for item in self.facts.corrections if item.record
        }
        versions = frame_versions(self.facts)
        ordered = sorted(
            self.facts.rated, key=lambda item: (who(item), item.record["rating"]["customer_seq"])
        )
        for item in ordered:
            customer_id, rating = who(item), item.record["rating"]
            name = f"{customer_id} #{rating['customer_seq']}"
            version = versions.of(customer_id, rating["customer_seq"])
            if version is None:
                self.tally.expect(False, f"{name}: in no frame")
                continue
            try:
                leg = self._leg(item, self.customers.setdefault(customer_id, Customer()), version)
            except (KeyError, Impossible, ValueError) as error:
                self.tally.expect(False, f"{name}: cannot be: {type(error).__name__} {error}")
                continue
            self.legs[customer_id, rating["customer_seq"]] = leg
            self._compare(name, item, leg)
            self.tally.count(f"{rating['leg']}s")
        self._finish()

    def _finish(self) -> None:
        """Only a void leaves an event reversed; each period is what a restore would find."""
        for customer in self.customers.values():
            for identity, correction_id in customer.reversed.items():
                is_void = self.commands[correction_id]["command"] == "void"
                self.tally.expect(is_void, f"{identity}: reversed by {correction_id} and not replaced")
        held = {
            key: amounts for customer in self.customers.values() for key, amounts in customer.live.items()
        }
        said = periods_of(self.facts)
        for key in {*held, *said}:
            self.tally.count("pool periods")
            self.tally.same(f"period {key}", said.get(key), held.get(key))

    # --- what each leg must be ---

    def _leg(self, item: Item, customer: Customer, version: int) -> Leg:
        rating, event = item.record["rating"], item.record["event"]
        identity = identity_of(event)
        if rating["leg"] == "original":
            if identity in customer.current:
                raise ValueError("an original of an event that was rated before")
            leg = self._rated(self.story.event_of(identity), version, customer.live)
            customer.current[identity] = leg
            return leg
        command = self.commands[rating["correction_id"]]
        if identity_of({**command, **command["target"]}) != identity:
            raise ValueError("the correction is of another event")
        if rating["leg"] == "reversal":
            if identity in customer.reversed:
                raise ValueError(f"reversed before, by {customer.reversed[identity]}")
            leg = self._reversal(command, customer, identity, version)
            customer.reversed[identity] = command["correction_id"]
            return leg
        if customer.reversed.pop(identity, None) != command["correction_id"]:
            raise ValueError("a replacement without its reversal")
        leg = self._replacement(command, customer, identity, version)
        customer.current[identity] = leg
        return leg

    def _rated(self, event: Json, version: int, pools: Pools, revision: int = 0) -> Leg:
        """An event by a version of the book; what it takes up is added to `pools`."""
        books, before = self.story.books[version], dict(pools)
        cost, price, costs, prices = in_detail(books, event, pools)
        shares = {
            key[1:]: (
                after[0] - before.get(key, (ZERO, ZERO))[0],
                after[1] - before.get(key, (ZERO, ZERO))[1],
            )
            for key, after in pools.items()
            if before.get(key) != after
        }
        period = books.period(event["customer_id"], event["event_time_us"])
        leaves = split(event["usage_semantics"], event["usage"])
        meters = {"cost": costs, "price": prices}
        return Leg(cost, price, event, version, revision, period, leaves, shares, meters=meters)

    def _reversal(self, command: Json, customer: Customer, identity: Identity, version: int) -> Leg:
        """The current record negated, and what that leaves owing of each of its periods."""
        of, owed = customer.current[identity], dict[str, Fraction]()
        if command["target"]["expected_revision"] != of.revision:
            raise ValueError(
                f"a correction of revision {command['target']['expected_revision']}, not {of.revision}"
            )
        for (pool, start_us), (quantity, amount) in of.shares.items():
            key = identity[0], pool, start_us
            held = customer.live.get(key, (ZERO, ZERO))
            rest, left = held[0] - quantity, held[1] - amount
            if command["command"] != "rerate":
                settled = self._price(version, of.version, (pool, start_us), rest)
                owed[pool], left = owed.get(pool, ZERO) + settled - left, settled
            customer.live[key] = rest, left
        price = _adjusted(_negated(of.price), sum(owed.values(), ZERO), self._currency(identity[0], of))
        leaves = {meter: -quantity for meter, quantity in of.leaves.items()}
        meters = {
            side: {name: None if amount is None else -amount for name, amount in told.items()}
            for side, told in of.meters.items()
        }
        return replace(
            of, cost=_negated(of.cost), price=price, revision=of.revision + 1, leaves=leaves, shares={},
            meters=_owing(meters, owed),
        )  # fmt: skip

    def _replacement(self, command: Json, customer: Customer, identity: Identity, version: int) -> Leg:
        of = customer.current[identity]
        if command["command"] == "amend":
            return self._rated(command["amended"], version, customer.live, of.revision + 1)
        if command["command"] != "rerate":
            raise ValueError(f"a replacement of a {command['command']}")
        run = customer.runs.setdefault(command["run_id"] or "", {})
        leg = self._rated(of.event, command["book_version"], run, of.revision + 1)
        if leg.shares and command["run_id"] is None:
            raise ValueError("a pooled event re-rated without a run")
        shares, owed = dict(leg.shares), dict[str, Fraction]()
        for (pool, start_us), (quantity, amount) in leg.shares.items():
            held = customer.live.get((identity[0], pool, start_us), (ZERO, ZERO))
            customer.live[identity[0], pool, start_us] = held[0] + quantity, held[1] + amount
        for closed in command["closes"]:
            key = closed["pool"], closed["start_us"]
            quantity, amount = customer.live[(identity[0], *key)]
            settled = self._price(leg.version, leg.version, key, quantity)
            customer.live[(identity[0], *key)] = quantity, settled
            took = shares.get(key, (ZERO, ZERO))
            shares[key] = took[0], took[1] + settled - amount
            owed[key[0]] = owed.get(key[0], ZERO) + settled - amount
            run.pop((identity[0], *key), None)
        price = _adjusted(leg.price, sum(owed.values(), ZERO), self._currency(identity[0], leg))
        return replace(leg, price=price, event=of.event, shares=shares, meters=_owing(leg.meters, owed))

    def _price(self, version: int, own: int, period: tuple[str, int], quantity: Fraction) -> Fraction:
        """A(Q): P(Q) rounded, by the newest version that prices the period, else by the record's own."""
        pool, start_us = period
        if not quantity:
            return ZERO
        for number_ in (version, own):
            said = self._pool(self.story.books[number_], pool, start_us)
            if said is not None:
                return rounded(period_price(said, quantity))
        raise ValueError(f"nothing prices {pool}")

    @staticmethod
    def _pool(books: KnownBooks, pool: str, start_us: int) -> Json | None:
        card, _, name = pool.partition("/")
        return next((one for one in books.pools.get((card, name), []) if in_force(one, start_us)), None)

    def _currency(self, customer_id: str, leg: Leg) -> str | None:
        contract = self.story.books[leg.version].contract_of(customer_id, leg.event["event_time_us"])
        return None if contract is None else contract["currency"]

    # --- what it is ---

    def _compare(self, name: str, item: Item, leg: Leg) -> None:
        same, rating = self.tally.same, item.record["rating"]
        same(f"{name} event", item.record["event"], leg.event)
        same(f"{name} book version", rating["book_version"], leg.version)
        same(f"{name} revision", rating["revision"], leg.revision)
        period = rating["service_period"]
        same(f"{name} period", (period["start_us"], period["end_us"]), leg.period)
        for side, expected in (("cost", leg.cost), ("price", leg.price)):
            said = Amount(rating[side]["status"], number(rating[side]["amount"]), rating[side]["currency"])
            same(f"{name} {side}", said, expected)
            lines = [line for line in rating["lines"] if line["side"] == side]
            added = sum((number(line["amount"]) or ZERO for line in lines), ZERO)
            if expected.amount is not None:
                same(f"{name} lines of the {side}", added, expected.amount)
            same(f"{name} {side} by meter", by_meter(rating, lines), leg.meters[side])
            self.tally.count("lines", len(lines))


def by_meter(rating: Json, lines: Iterable[Json]) -> Meters:
    """What the lines of one side say of each meter; those of a pool, and its adjustments, under its name."""
    pools = sorted((state["pool"] for state in rating["pools_before"]), key=len, reverse=True)

    def pool_of(line: Json) -> str | None:
        return next((pool for pool in pools if line["side"] == "price" and pool in line["explain"]), None)

    named = {
        line["meter"]: pool_of(line)
        for line in rating["lines"]
        if pool_of(line) and line["meter"] != ADJUSTMENT
    }
    found: Meters = {}
    for line in lines:
        pool = pool_of(line) or (named.get(line["meter"]) if line["side"] == "price" else None)
        name = f"pool {pool}" if pool else line["meter"]
        before, amount = found.get(name), number(line["amount"])
        found[name] = amount if before is None else before + (amount or ZERO)
    return found


def _owing(meters: Mapping[str, Meters], owed: Mapping[str, Fraction]) -> dict[str, Meters]:
    """With what each pool is owed beside."""
    price = dict(meters["price"])
    for pool, amount in owed.items():
        if amount:
            price[f"pool {pool}"] = (price.get(f"pool {pool}") or ZERO) + amount
    return {**meters, "price": price}


def periods_of(facts: Facts) -> dict[tuple[str, str, int], tuple[Fraction | None, Fraction | None]]:
    """Each period as a restore finds it: of rater.state, and of the frames after that."""
    newest: dict[tuple[str, str, int], tuple[int, Json]] = {}
    for one in facts.periods:
        newest[one["customer_id"], one["pool"], one["start_us"]] = one["frame_no"], one
    for frame in (frame for frames in facts.frames.values() for frame in frames):
        for customer in frame["customers"]:
            for one in customer["pools"]:
                key = customer["customer_id"], one["pool"], one["start_us"]
                if frame["frame_no"] >= newest.get(key, (0, {}))[0]:
                    newest[key] = frame["frame_no"], one
    return {key: (number(one["quantity"]), number(one["amount"])) for key, (_, one) in newest.items()}


@dataclass(slots=True)
class FrameVersions:
    """Which version of the book each sequence was written under."""

    spans: dict[str, list[tuple[int, int, int]]]

    def of(self, customer_id: str, seq: int) -> int | None:
        """The version of the frame that holds the sequence."""
        spans = self.spans.get(customer_id, [])
        place = bisect_right(spans, seq, key=itemgetter(0)) - 1
        return spans[place][2] if place >= 0 and seq <= spans[place][1] else None


def frame_versions(facts: Facts) -> FrameVersions:
    """By customer, from the frames."""
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for frames in facts.frames.values():
        for frame in frames:
            for one in frame["customers"]:
                spans.setdefault(one["customer_id"], []).append(
                    (one["first_seq"], one["last_seq"], frame["book_version"])
                )
    return FrameVersions({customer_id: sorted(found) for customer_id, found in spans.items()})


def who(item: Item) -> str:
    """The customer of a rated record."""
    found: str = item.record["event"]["customer_id"]
    return found


def _negated(side: Amount) -> Amount:
    return side if side.amount is None else side._replace(amount=-side.amount)


def _adjusted(price: Amount, owed: Fraction, currency: str | None) -> Amount:
    """With a line of adjustment, where anything is owed."""
    if not owed:
        return price
    status = WITH_AMOUNT.get(price.status, price.status) if price.amount is None else price.status
    return Amount(status, (price.amount or ZERO) + owed, price.currency or currency)
