"""The importer: a hand-made list, and the whole package compared name by name and price by price."""

import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pricing.cards import BookContent
from pricing.compile import compile_book
from pricing.errors import BookError
from pricing.match import CardIndex
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.money import parse_decimal
from pricing.rate import Call, rate
from rate_book.errors import ImportRefusedError
from rate_book.form import load_book, shipped_books
from rate_book.importers.genai_prices import convert, import_genai_prices
from rate_book.importers.price_files import REFUSALS_FILE, write_corrections, write_lists
from rate_book.importers.vendor_rules import corrected_by_hand, corrections

UNITS = {
    "input_tokens": {"per": 1_000_000, "price_key": "input_mtok"},
    "cache_write_tokens": {"per": 1_000_000, "price_key": "cache_write_mtok"},
    "output_tokens": {"per": 1_000_000, "price_key": "output_mtok"},
    "web_searches": {"per": 1000, "price_key": "web_searches_kcount"},
}


@dataclass
class ClauseEquals:
    equals: str

    def is_match(self, text: str) -> bool:
        return text == self.equals


@dataclass
class ClauseStartsWith:
    starts_with: str

    def is_match(self, text: str) -> bool:
        return text.startswith(self.starts_with)


@dataclass
class ClauseMystery:
    def is_match(self, text: str) -> bool:
        return False


@dataclass
class ClauseOr:
    or_: list[Any]

    def is_match(self, text: str) -> bool:
        return any(clause.is_match(text) for clause in self.or_)


@dataclass
class StartDateConstraint:
    start_date: date


@dataclass
class TimeOfDateConstraint:
    start_time: time
    end_time: time


@dataclass
class Tiered:
    base: Decimal
    tiers: list[SimpleNamespace]


@dataclass
class Model:
    id: str
    match: Any
    prices: Any
    price_variants: list[Any] = field(default_factory=list)

    def is_match(self, text: str) -> bool:
        return bool(self.match.is_match(text))


def prices(**rates: str) -> SimpleNamespace:
    return SimpleNamespace(**{key: Decimal(value) for key, value in rates.items()})


def dated(start: date | None, listed: Any) -> SimpleNamespace:
    return SimpleNamespace(constraint=StartDateConstraint(start) if start else None, prices=listed)


MODELS = [
    Model(
        "plain",
        ClauseOr([ClauseEquals("plain"), ClauseStartsWith("plain-"), ClauseMystery()]),
        [dated(None, prices(input_mtok="10")), dated(date(2026, 3, 1), prices(input_mtok="2.50"))],
        [
            SimpleNamespace(
                when={"processing": "batch"},
                prices=prices(input_mtok="1.25"),
                constraint=StartDateConstraint(date(2026, 5, 1)),
            )
        ],
    ),
    Model(
        "tiered",
        ClauseEquals("tiered"),
        SimpleNamespace(
            input_mtok=Tiered(Decimal(1), [SimpleNamespace(start=200, price=Decimal(2))]),
            output_mtok=Decimal(5),
            mystery_mtok=Decimal(1),
        ),
    ),
    Model("shadowed", ClauseEquals("plain-b"), prices(input_mtok="3")),
    Model(
        "night",
        ClauseEquals("night"),
        [
            dated(None, prices(input_mtok="4")),
            dated(date(2026, 5, 1), prices(input_mtok="6")),
            SimpleNamespace(
                constraint=TimeOfDateConstraint(time(22), time(2)), prices=prices(input_mtok="1")
            ),
            SimpleNamespace(
                constraint=TimeOfDateConstraint(time(12), time(13)), prices=prices(input_mtok="1")
            ),
        ],
    ),
    Model(
        "never",
        ClauseEquals("never"),
        [SimpleNamespace(constraint=TimeOfDateConstraint(time(1), time(2)), prices=prices(input_mtok="1"))],
    ),
    Model(
        "reaching",
        ClauseEquals("reaching"),
        SimpleNamespace(input_mtok=Tiered(Decimal(1), [SimpleNamespace(start=199_999, price=Decimal(2))])),
    ),
    Model("free", ClauseEquals("free"), prices()),
    Model(
        "writes",
        ClauseEquals("writes"),
        prices(input_mtok="1", cache_write_mtok="2", output_mtok="5"),
    ),
    Model("dusty", ClauseEquals("dusty"), prices(input_mtok="0.18000000000000002")),
]


def test_a_hand_made_list_becomes_a_book_and_a_list_of_refusals(tmp_path: Path) -> None:
    provider = SimpleNamespace(id="maker", models=MODELS, fallback_model_providers=None)
    seller = SimpleNamespace(id="seller", models=[], fallback_model_providers=["maker"])
    imported = convert([provider, seller], UNITS, "hand-made 1", "2026-11-23")
    written = write_lists(tmp_path, "test", imported.lists, imported.refusals)
    assert [path.name for path in written] == ["maker.yaml", "seller.yaml", REFUSALS_FILE]
    refused = {(item.provider, item.model, item.what) for item in imported.refusals}
    assert {
        ("maker", "plain", "match clause ClauseMystery"),
        ("maker", "tiered", "price mystery_mtok"),
        ("maker", "shadowed", "name 'plain-b'"),
        ("seller", "maker/night", "prices by the time of day"),
        ("maker", "never", "prices by the time of day that a date overrides"),
        ("maker", "free", "no rate is listed from the beginning"),
        ("seller", "maker/plain", "prices by context"),
        ("maker", "dusty", "rate 0.18000000000000002 per 1000000 of input_tokens"),
    } <= refused
    for item in imported.refusals:
        assert item.what in written[-1].read_text()
    book = compile_book(load_book([tmp_path]), 1, "")
    march = 1_772_323_200_000_000  # 2026-03-01
    may = 1_777_593_600_000_000  # 2026-05-01

    def cost(model: str, at_us: int, amount: str, provider: str = "maker", **context: str) -> Any:
        return rate(
            book, Call(None, provider, model, at_us, {"input_tokens": amount}, "inclusive", context)
        ).cost

    assert cost("plain", march - 1, "1000000").amount_atto == parse_decimal("10", "")
    assert cost("plain", march, "1000000").amount_atto == parse_decimal("2.5", "")
    assert cost("plain-x", march, "1000000", "seller").amount_atto == parse_decimal("2.5", "")
    assert cost("plain", may, "1000000", processing="batch").amount_atto == parse_decimal("1.25", "")
    # before the list knew the batch price nobody knows it: unpriced, not standard
    assert cost("plain", may - 1, "1000000", processing="batch").status == "unpriced"
    # what another sells, the list prices in no context but the standard one
    assert cost("plain", may, "1000000", "seller").amount_atto == parse_decimal("2.5", "")
    assert cost("plain", may, "1000000", "seller", processing="batch").status == "unpriced"
    assert cost("tiered", may, "200").amount_atto == parse_decimal("0.0002", "")
    assert cost("tiered", may, "201").amount_atto == parse_decimal("0.000402", "")
    hour = 3_600_000_000
    million = "1000000"
    # 22:00 to 02:00 and 12:00 to 13:00 UTC cost 1; other hours 4, and 6 from May
    for start, other in ((march, "4"), (may, "6")):
        for at_hour, price in ((0, "1"), (2, other), (11, other), (12, "1"), (13, other), (22, "1")):
            night = cost("night", start + at_hour * hour, million)
            assert night.amount_atto == parse_decimal(price, ""), at_hour
    assert cost("night", may, "1", "seller").status == "unpriced"
    # above 199999 in the list is at 200000 and above in the book
    assert cost("reaching", may, "199999").amount_atto == parse_decimal("0.199999", "")
    assert cost("reaching", may, "200000").amount_atto == parse_decimal("0.4", "")
    assert cost("free", may, "1").status == "unpriced"


def test_every_part_but_an_hours_write_is_charged_at_its_wholes_rate() -> None:
    """Where a list prices short writes only, in every modality; where it prices no write, any part is."""
    provider = SimpleNamespace(id="maker", models=MODELS, fallback_model_providers=None)
    imported = convert([provider], UNITS, "hand-made 1", "2026-11-23")
    (writes,) = (card for card in imported.lists[0].cards if card.card_id == "maker/writes")
    hour = {f"cache_{modality}write_1h_tokens" for modality in ("", "text_", "audio_", "image_", "video_")}
    registry = MeterRegistry(DEFAULT_METERS)
    parts = {meter for meter in registry.definitions if registry.wholes(meter)}
    assert hour < parts
    assert set(writes.versions[0].parts_at_whole_rate) == parts - hour
    (plain,) = (card for card in imported.lists[0].cards if card.card_id == "maker/plain")
    assert plain.versions[0].parts_at_whole_rate == ["*"]


def test_files_of_a_provider_that_is_gone_go_and_those_that_somebody_wrote_stay(tmp_path: Path) -> None:
    provider = SimpleNamespace(id="maker", models=MODELS, fallback_model_providers=None)
    seller = SimpleNamespace(id="seller", models=[], fallback_model_providers=["maker"])
    both = convert([provider, seller], UNITS, "hand-made 1", "2026-11-23")
    write_lists(tmp_path, "test", both.lists, both.refusals)
    (tmp_path / "ours.yaml").write_text("provider: ours\ncurrency: USD\ncards: []\n")
    one = convert([provider], UNITS, "hand-made 2", "2026-11-24")
    with pytest.raises(ImportRefusedError, match="would be replaced; review it, then give --write"):
        write_lists(tmp_path, "test", one.lists, one.refusals)
    write_lists(tmp_path, "test", one.lists, one.refusals, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [REFUSALS_FILE, "maker.yaml", "ours.yaml"]


def test_a_list_that_is_no_book_replaces_nothing(tmp_path: Path) -> None:
    provider = SimpleNamespace(id="maker", models=MODELS, fallback_model_providers=None)
    imported = convert([provider], UNITS, "hand-made 1", "2026-11-23")
    write_lists(tmp_path, "test", imported.lists, imported.refusals)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    imported.lists[0].cards.append(imported.lists[0].cards[0])
    with pytest.raises(BookError, match="is the id of two cards"):
        write_lists(tmp_path, "test", imported.lists, imported.refusals)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_the_shipped_files_are_what_the_importer_makes(tmp_path: Path) -> None:
    """Nobody edits them by hand; the date of the check is theirs."""
    folder = shipped_books()[0]
    checked = (folder / "openai.yaml").read_text().split("checked: ")[1][:10]
    imported = import_genai_prices(date.fromisoformat(checked))
    mended, refused = corrections(imported.lists, corrected_by_hand([shipped_books()[1]]))
    command = "ratestream book import genai-prices"
    made = tmp_path / "providers"
    write_lists(made, command, imported.lists, [*imported.refusals, *refused])
    write_corrections(tmp_path / "corrections", command, mended, beside=made)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in made.iterdir())
    rules = sorted(path.name for path in shipped_books()[1].glob("*-rules.yaml"))
    assert rules == sorted(path.name for path in (tmp_path / "corrections").iterdir())
    for path in (*made.iterdir(), *(tmp_path / "corrections").iterdir()):
        shipped = folder.parent / path.parent.name / path.name
        assert path.read_text() == shipped.read_text(), path.name


def probes(model: Any) -> Iterator[str]:
    yield model.id
    for clause in (model.match, *getattr(model.match, "or_", ())):
        for name in ("equals", "starts_with", "contains", "ends_with"):
            text = getattr(clause, name, None)
            if text:
                yield from (text, f"{text}-20260101", f"{text}-2026-01-01", f"{text}-latest", f"x{text}")


def test_every_name_finds_the_model_that_the_package_finds_or_none(shipped: BookContent) -> None:
    """What a book cannot say is unpriced; it is never another model's price."""
    data = pytest.importorskip("genai_prices.data")
    index = CardIndex(shipped.provider_cards)
    wrong, found, missed = [], 0, 0
    for provider in data.providers:
        for name in {name.lower() for model in provider.models for name in probes(model)}:
            theirs = next((model for model in provider.models if model.is_match(name)), None)
            ours = index.find(provider.id, name)
            if ours is None:
                missed += theirs is not None
                continue
            found += 1
            fallback = ours.card_id.count("/") > 1 and theirs is None
            widened = any(
                name.startswith(prefix.prefix) and prefix.prefix.endswith("-20") for prefix in ours.prefixes
            )
            if (
                ours.card_id != f"{provider.id}/{theirs.id if theirs else ''}"
                and not fallback
                and not widened
            ):
                wrong.append((provider.id, name, theirs and theirs.id, ours.card_id))
    assert wrong == []
    assert found > 5 * missed


def test_prices_equal_the_packages_own_for_every_model() -> None:
    """The package computes with Decimal from the same list: an independent reading of it, uncorrected."""
    shipped_book = compile_book(load_book(shipped_books()[:1]), 1, "")
    data = pytest.importorskip("genai_prices.data")
    types = pytest.importorskip("genai_prices.types")
    chance = random.Random(3)
    compared = 0
    for provider in data.providers:
        for model in provider.models:
            tokens = chance.choice((1_000, 200_000, 200_001, 300_000))
            usage = {
                "input_tokens": tokens,
                "output_tokens": chance.randrange(5_000),
                "cache_read_tokens": tokens // 4,
            }
            moment = datetime(chance.choice((2024, 2026)), 11, chance.randrange(1, 23), 12, tzinfo=UTC)
            at_us = int(moment.timestamp()) * 1_000_000
            name = next((text for text in probes(model) if _is_first(provider, model, text)), model.id)
            context = chance.choice(({}, {"processing": "batch"}))
            said = {key: str(value) for key, value in usage.items()}
            ours = rate(
                shipped_book,
                Call(None, provider.id, name, at_us, said, "inclusive", context),
            ).cost
            if ours.status != "priced":
                continue
            compared += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = model.calc_price(
                    types.Usage(**usage), provider, genai_request_timestamp=moment, price_context=context
                )
            # They do not round; we round each of three lines to 18 digits.
            difference = Decimal(ours.amount_atto or 0) - theirs.total_price * 10**18
            assert abs(difference) < 2, (provider.id, model.id)
    assert compared > 900


def _is_first(provider: Any, model: Any, name: str) -> bool:
    return next((other for other in provider.models if other.is_match(name)), None) is model
