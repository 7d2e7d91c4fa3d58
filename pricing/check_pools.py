"""What is wrong with a price card beside its cards: pools, the rates that name them, the target margin."""

from functools import partial

from pricing.cards import Pool, PoolVersion, PriceCard, RateCard, Tier
from pricing.check_cells import pooled_rates
from pricing.currencies import is_currency
from pricing.errors import CardError
from pricing.faults import NOT_A_CURRENCY, Fault, Faults, decimal, number, repeated, spans
from pricing.money import ATTO


def check_price_card(price_card: PriceCard, units: tuple[str, ...]) -> Faults:
    """Its pools, the rates that name them, its target margin."""
    fault = partial(CardError, price_card.price_card_id)
    if price_card.target_margin is not None:
        target = decimal(price_card.target_margin)
        if target is None or target >= ATTO:
            yield fault("target_margin", repr(price_card.target_margin), "must be a share from 0 to below 1")
    for name in repeated(pool.pool for pool in price_card.pools):
        yield fault("pools", name, "is the name of two pools")
    for pool in price_card.pools:
        yield from _check_pool(pool, units, fault)
    pools = {pool.pool: pool for pool in price_card.pools}
    for card in price_card.cards:
        yield from _check_pooled(card, pools)


def _check_pooled(card: RateCard, pools: dict[str, Pool]) -> Faults:
    for position, version in enumerate(card.versions):
        for rate in pooled_rates(version):
            name = str(rate.pool)
            fault = partial(CardError, card.card_id, f"versions[{position}].rates.{rate.meter}.pool", name)
            if name not in pools:
                yield fault("is not a pool of the price card")
            elif pools[name].currency != card.currency:
                yield fault(
                    f"is in {pools[name].currency}, the card in {card.currency}: pools are not exchanged"
                )


def _check_pool(pool: Pool, units: tuple[str, ...], fault: Fault) -> Faults:
    where = f"pools.{pool.pool}"
    if not pool.pool or "/" in pool.pool:
        yield fault("pools", repr(pool.pool), "must be a name without a slash")
    if not is_currency(pool.currency, units):
        yield fault(f"{where}.currency", repr(pool.currency), NOT_A_CURRENCY)
    if not pool.versions:
        yield fault(f"{where}.versions", "()", "a pool must have a version")
    yield from spans(f"{where}.versions", [(v.valid_from_us, v.valid_to_us) for v in pool.versions], fault)
    for position, version in enumerate(pool.versions):
        yield from _check_pool_version(f"{where}.versions[{position}]", version, fault)


def _check_pool_version(field: str, version: PoolVersion, fault: Fault) -> Faults:
    if version.shape not in ("graduated", "volume", "package"):
        yield fault(f"{field}.shape", repr(version.shape), "must be graduated, volume or package")
    if version.operator not in ("gt", "gte"):
        yield fault(f"{field}.operator", repr(version.operator), "must be gt or gte")
    yield from number(f"{field}.free", version.free, fault)
    if not version.tiers:
        yield fault(f"{field}.tiers", "()", "a pool must have a tier")
    yield from _check_starts(field, version.tiers, fault)
    for position, tier in enumerate(version.tiers):
        where = f"{field}.tiers[{position}]"
        yield from number(f"{where}.rate", tier.rate, fault)
        yield from number(f"{where}.per", tier.per, fault, above_0=True)
        yield from number(f"{where}.flat", tier.flat, fault)
        if version.shape == "package" and decimal(tier.flat):
            rule = "a package price has no flat amount: its rate is the package's price"
            yield fault(f"{where}.flat", tier.flat, rule)
    if version.shape == "package" and len(version.tiers) > 1:
        yield fault(f"{field}.tiers", str(len(version.tiers)), "a package price has one tier")


def _check_starts(field: str, tiers: tuple[Tier, ...], fault: Fault) -> Faults:
    """The first at 0, then ascending."""
    previous = -1
    for position, tier in enumerate(tiers):
        where = f"{field}.tiers[{position}].start"
        yield from number(where, tier.start, fault)
        start = decimal(tier.start)
        if start is None:
            continue
        if position == 0 and start != 0:
            yield fault(where, tier.start, "the first tier must start at 0")
        elif start <= previous:
            yield fault(where, tier.start, "starts must ascend")
        previous = start
