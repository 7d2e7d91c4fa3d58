"""The Avro record Rating as bytes, written by hand: `rating_record` encoded by the codec gives the same
bytes.

What is the same for all lines of one template (side, meter, rate, card, explanation ...) is encoded once.
The memos hold only what their keys determine and are bounded, so they change how long an answer takes and
never the answer.
"""

from typing import Final, NamedTuple, TypeVar

from pricing.compile import CompiledBook
from pricing.compiled import LineTemplate
from pricing.money import ATTO, format_atto
from pricing.rate import Line, PoolBefore, Rating, Side

_LEGS = ("original", "reversal", "replacement")
_STATUSES = ("unpriced", "partial", "priced", "included")
_SIDES = ("cost", "price")

_NULL = b"\x00"  # the first branch of a union ["null", "string"]
_SECOND = b"\x02"  # its second branch, before the string
_END = b"\x00"  # an array's closing block

# A plain decimal has at most 20 digits, a point, 18 digits and a sign: its length takes one byte (length x 2
# < 128).
_LENGTH = tuple(bytes((2 * length,)) for length in range(64))
_SOME_LENGTH = tuple(_SECOND + length for length in _LENGTH)

_MEMO_MAX = 65_536

K = TypeVar("K")
V = TypeVar("V")

_LineParts = tuple[bytes, bytes, bytes, bytes]

_lines: dict[LineTemplate, _LineParts] = {}
_quantities: dict[int, bytes] = {}
_amounts: dict[int, bytes] = {}
_books: dict[tuple[int, str], bytes] = {}
_periods: dict[tuple[int, int], bytes] = {}
_plans: dict[str | None, bytes] = {}
_sides: dict[tuple[str, str | None], tuple[bytes, bytes]] = {}


def encode_rating(
    rating: Rating,
    book: CompiledBook,
    customer_seq: int,
    *,
    leg: str = "original",
    revision: int = 0,
    correction_id: str | None = None,
) -> bytes:
    """The body (no header) of the Avro record Rating, ready for `schemas.codec.splice_rated`."""
    parts = [_long(customer_seq)]
    add = parts.append
    if leg == "original" and not revision and correction_id is None:
        add(b"\x00\x00\x00")
    else:
        add(_long(_LEGS.index(leg)) + _long(revision) + _optional(correction_id))
    key = (book.version, book.content_hash)
    head = _books.get(key)
    add(head if head is not None else _book(key))
    period = _periods.get(rating.service_period)
    add(period if period is not None else _period(rating.service_period))
    add(_pools(rating.pools_before) if rating.pools_before else _END)
    _add_side(parts, rating.cost)
    _add_side(parts, rating.price)
    lines = rating.lines
    if lines:
        add(_long(len(lines)))
        for line in lines:
            parts += _line_parts(line)
    add(_END)
    plan = _plans.get(rating.plan)
    add(plan if plan is not None else _kept(_plans, rating.plan, _optional(rating.plan)))
    return b"".join(parts)


def _line_parts(line: Line) -> tuple[bytes, ...]:
    template, quantity, amount, billed = line
    before, rate, no_amount, after = _lines.get(template) or _line(template)
    count = _quantities.get(quantity) or _quantity(quantity)
    if billed is not None:
        after = after[: -len(_NULL)] + _some(billed)  # in the place of the last field's null
    if amount is None:
        return before, count, no_amount, after
    return before, count, rate, _amounts.get(amount) or _amount(amount), after


class Frame(NamedTuple):
    """What is the same of all originals whose sides are priced in these currencies, over one period, with so
    many lines and no pools: the bytes between sequence, cost, price and lines, and those after the lines.
    """

    before_cost: bytes
    before_price: bytes
    before_lines: bytes
    after_lines: bytes


def frame(book: CompiledBook, empty: Rating, lines: int) -> Frame:
    """The frame of ratings like `empty`, which has neither pools nor lines nor amounts."""
    before_cost, after_cost = _side("priced", empty.cost.currency)
    before_price, after_price = _side("priced", empty.price.currency)
    return Frame(
        b"\x00\x00\x00"  # original, revision 0, no correction
        + _book((book.version, book.content_hash))
        + _period(empty.service_period)
        + _END  # no pools
        + before_cost,
        after_cost + before_price,
        after_price + (_long(lines) if lines else b""),
        _END + _optional(empty.plan),
    )


def encode_line(line: Line) -> bytes:
    """One of a Rating's lines."""
    return b"".join(_line_parts(line))


def _add_side(parts: list[bytes], side: Side) -> None:
    status, amount, currency = side
    before, after = _sides.get((status, currency)) or _side(status, currency)
    parts += (before, _NULL if amount is None else _some(amount), after)


def _side(status: str, currency: str | None) -> tuple[bytes, bytes]:
    made = (_long(_STATUSES.index(status)), _optional(currency))
    return _kept(_sides, (status, currency), made)


def _line(template: LineTemplate) -> _LineParts:
    rate = _optional(template.rate) + _optional(template.per)
    made = (
        _long(_SIDES.index(template.side)) + _string(template.meter),
        rate,
        rate + _NULL,
        _optional(template.currency)
        + _optional(template.card)
        + _optional(template.version)
        + _long(_STATUSES.index(template.status))
        + _string(template.explain)
        + _NULL,  # no billed quantity: nearly every line has none
    )
    return _kept(_lines, template, made)


def _amount(amount: int) -> bytes:
    return _kept(_amounts, amount, _some(amount))


def _some(amount: int) -> bytes:
    """The union's second branch with the amount's plain decimal: format_atto, written for speed."""
    if amount < 0:
        text = format_atto(amount).encode()
    else:
        whole, fraction = divmod(amount, ATTO)
        text = (b"%d.%018d" % (whole, fraction)).rstrip(b"0") if fraction else b"%d" % whole
    return _SOME_LENGTH[len(text)] + text


def _quantity(quantity: int) -> bytes:
    return _kept(_quantities, quantity, _string(format_atto(quantity)))


def _book(key: tuple[int, str]) -> bytes:
    version, content_hash = key
    return _kept(_books, key, _long(version) + _string(content_hash))


def _period(period: tuple[int, int]) -> bytes:
    start_us, end_us = period
    return _kept(_periods, period, _long(start_us) + _long(end_us))


def _pools(pools: tuple[PoolBefore, ...]) -> bytes:
    items = b"".join(
        _string(pool.pool)
        + _long(pool.start_us)
        + _long(pool.end_us)
        + _string(format_atto(pool.quantity_atto))
        + _string(format_atto(pool.amount_atto))
        + _string(pool.currency)
        for pool in pools
    )
    return _long(len(pools)) + items + _END


def _kept(memo: dict[K, V], key: K, made: V) -> V:
    if len(memo) >= _MEMO_MAX:
        memo.clear()
    memo[key] = made
    return made


def _long(value: int) -> bytes:
    """Avro's zig-zag variable-length integer, 64 bits."""
    left = (value << 1) ^ (value >> 63)
    if left < 0x80:
        return bytes((left,))
    out = bytearray()
    while left >= 0x80:
        out.append((left & 0x7F) | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode()
    return _long(len(data)) + data


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _SECOND + _string(text)


encode_sequence: Final = _long
"""A Rating begins with its sequence."""
encode_amount: Final = _some
"""A side's amount, where there is one."""
