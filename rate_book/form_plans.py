"""What stands around the cards: pools, contracts, assignments, aliases, exchange rates, settings."""

from typing import get_args

from pricing.cards import (
    CALENDAR_MONTH_UTC,
    DEFAULT_DIMENSIONS,
    UTC,
    Assignment,
    BillingUnit,
    BookContent,
    Contract,
    ExchangeRate,
    ModelAlias,
    Pool,
    PoolVersion,
    PriceCard,
    Tier,
)
from pricing.meters import MeterDefinition
from rate_book.dimensions import DIMENSION_FIELDS
from rate_book.fields import Fields
from rate_book.form_cards import read_cards
from rate_book.form_rates import read_rate_text


def read_price_card(fields: Fields) -> PriceCard:
    price_card_id = fields.text("price_card")
    currency = fields.text("currency")
    source = fields.optional_text("source")
    return PriceCard(
        price_card_id,
        read_cards(fields.children("cards", "card"), None, currency, source),
        tuple(_pool(item, currency, source) for item in fields.children("pools", "pool")),
        fields.optional_decimal("target_margin"),
    )


def _pool(fields: Fields, currency: str, source: str | None) -> Pool:
    with fields.inside():
        return Pool(
            fields.text("pool"),
            currency,
            tuple(_pool_version(item, source) for item in fields.children("versions", "from")),
        )


def _pool_version(fields: Fields, source: str | None) -> PoolVersion:
    with fields.inside():
        return PoolVersion(
            shape=fields.one_of("shape", ("graduated", "volume", "package")),
            tiers=tuple(_tier(item) for item in fields.children("tiers", "start")),
            free=fields.decimal_or("free", "0"),
            operator=fields.one_of("operator", ("gt", "gte"), "gt"),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
            source=fields.text("source") if fields.has("source") else source,
        )


def _tier(fields: Fields) -> Tier:
    with fields.inside():
        rate, per = read_rate_text(fields, "rate", fields.text("rate"))
        return Tier(fields.decimal_or("start", "0"), rate, per, fields.decimal_or("flat", "0"))


def read_contract(fields: Fields) -> Contract:
    with fields.inside():
        return Contract(
            contract_id=fields.text("contract"),
            currency=fields.text("currency"),
            price_cards=fields.texts("price_cards"),
            billing_period=_billing_unit(fields),
            anchor_day=fields.integer("anchor_day", 1),
            zone=fields.text_or("zone", UTC),
            carry_over=fields.boolean("carry_over"),
            minimum=fields.optional_decimal("minimum"),
            commitment=fields.optional_decimal("commitment"),
            allowance=fields.optional_decimal("allowance"),
        )


def _billing_unit(fields: Fields) -> BillingUnit:
    units: tuple[BillingUnit, ...] = get_args(BillingUnit)
    return fields.one_of("billing_period", units, CALENDAR_MONTH_UTC)


def read_assignment(fields: Fields) -> Assignment:
    with fields.inside():
        return Assignment(
            customer=fields.text("customer"),
            contract_id=fields.text("contract"),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
        )


def read_alias(fields: Fields) -> ModelAlias:
    with fields.inside():
        return ModelAlias(
            provider=fields.text("provider"),
            alias=fields.text("alias"),
            model=fields.text("model"),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
        )


def read_exchange_rate(fields: Fields) -> ExchangeRate:
    with fields.inside():
        return ExchangeRate(
            currency=fields.text("currency"),
            to=fields.text("to"),
            rate=fields.decimal("rate"),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("until"),
            source=fields.optional_text("source"),
        )


def read_settings(fields: Fields) -> BookContent:
    with fields.inside():
        dimensions = fields.texts("dimensions") if fields.has("dimensions") else DEFAULT_DIMENSIONS
        for name in dimensions:
            if name != "model" and name not in DIMENSION_FIELDS:
                raise fields.refuse(
                    "dimensions", name, f"must be model or one of {', '.join(sorted(DIMENSION_FIELDS))}"
                )
        return BookContent(
            dimensions=dimensions,
            context_ignored=fields.texts("context_ignored"),
            meters=tuple(_meter(item) for item in fields.children("meters", "meter")),
            units=fields.texts("units"),
        )


def _meter(fields: Fields) -> MeterDefinition:
    with fields.inside():
        return MeterDefinition(
            fields.text("meter"), fields.pairs("dimensions"), fields.boolean("whole_required")
        )
