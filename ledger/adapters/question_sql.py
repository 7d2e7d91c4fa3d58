"""The statements of questions: of roll-ups and of nothing else; every value is a parameter.

Sums are added up by key first and told apart by what a key is about after that, so that the long lists are
narrow. A time is made of whole months and days where it can be, and of quarters of an hour at its edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from psycopg import sql

from ledger.core.questions import PRICE_STATUS, Question
from ledger.core.questions_time import Asked, Range, cover, month_end
from pricing.instants import DAY_US

_COLUMNS = {
    "customer": ("f.customer_id",),
    "plan": ("k.plan",),
    "status": ("k.cost_status", "k.price_status"),
    "provider": ("k.provider",),
    "model": ("k.model",),
    "meter": ("m.meter",),
    "currency": (),
    PRICE_STATUS: ("k.price_status",),
}
_GRAINS = ("month", "day", "15m")


class Statement(NamedTuple):
    """A statement and its parameters; tests explain it."""

    text: sql.Composed
    values: dict[str, Any]


def sums_statement(question: Question) -> Statement:
    """The one query for what is known now and what was known then."""
    values: dict[str, Any] = {}
    facts = _facts(question, values)
    groups = [_column(name) for name in question.by]
    columns = [column for group in groups for column in group]
    grouped = sql.SQL(", ").join([sql.SQL("period"), *columns, *_currencies()])
    known = sql.SQL(
        "sum(f.events)::text, sum(f.cost)::text, sum(f.price)::text, {quantity}, sum(f.events_then)::text,"
        " sum(f.cost_then)::text, sum(f.price_then)::text, {quantity_then}"
    ).format(
        quantity=_quantity("quantity", by_meter=question.by_meter),
        quantity_then=_quantity("quantity_then", by_meter=question.by_meter),
    )
    joins = "join ledger.rollup_keys k on k.key = f.key"
    if question.by_meter:
        joins = (
            "join ledger.rollup_meter_keys m on m.key = f.key join ledger.rollup_keys k on k.key = m.sums_key"
        )
    text = sql.SQL("select {grouped}, {known} from ({facts}) f {joins} group by {grouped}").format(
        grouped=grouped, known=known, facts=facts, joins=sql.SQL(joins)
    )
    return Statement(text, values)


def unpriced_statement(question: Question) -> Statement:
    """Its sums are those of the few keys that have a reason."""
    values: dict[str, Any] = {}
    facts = _facts(
        question,
        values,
        by_meter=True,
        only="select key from ledger.rollup_meter_keys where num_nonnulls(cost_reason, price_reason) > 0",
    )
    columns = [column for name in question.by for column in _column(name)]
    group = sql.SQL(", ").join([sql.SQL(str(number)) for number in (1, 2, 3, 4, 5)] + columns)
    text = sql.SQL(
        "select side.name, k.provider, k.model, m.meter, side.reason, sum(f.events),"
        " case when bool_and(m.counted) then sum(f.quantity)::text end{columns}"
        " from ({facts}) f join ledger.rollup_meter_keys m on m.key = f.key"
        " join ledger.rollup_keys k on k.key = m.sums_key"
        " cross join lateral (values ('cost', m.cost_reason), ('price', m.price_reason)) side (name, reason)"
        " where side.reason is not null group by {group}"
    ).format(columns=sql.SQL("").join(sql.SQL(", {}").format(it) for it in columns), facts=facts, group=group)
    return Statement(text, values)


def costliest_statement(asked: Asked, top: int, customers: Sequence[str] = ()) -> Statement:
    """The costliest of each day by its index, and the costliest of those."""
    values = {
        "from": asked.start_us,
        "to": asked.end_us,
        "days": list(range(asked.start_us - asked.start_us % DAY_US, asked.end_us, DAY_US)),
        "top": top,
        "customers": list(customers),
    }
    one = sql.SQL("and customer_id = any(%(customers)s)") if customers else sql.SQL("")
    text = sql.SQL(
        "with currencies as (select distinct cost_currency as currency from ledger.rollup_keys"
        " where cost_currency is not null),"
        " best as (select q.*, row_number() over (partition by q.currency"
        " order by q.cost desc, q.customer_id, q.query_id) as place"
        " from unnest(%(days)s::bigint[]) d (day_us) cross join currencies c"
        " cross join lateral (select * from ledger.queries where day_us = d.day_us and currency = c.currency"
        " and first_event_time_us >= %(from)s and first_event_time_us < %(to)s {one}"
        " order by cost desc, customer_id, query_id limit %(top)s) q)"
        " select currency, customer_id, query_id, (select sum(calls) from ledger.queries o"
        " where o.customer_id = best.customer_id and o.query_id = best.query_id), cost::text, price::text,"
        " first_event_time_us, last_event_time_us from best where place <= %(top)s order by currency, place"
    ).format(one=one)
    return Statement(text, values)


@dataclass(frozen=True, slots=True)
class _Known:
    """When a branch's rows count: what is known now, and what was known then; SQL conditions."""

    now: str = "true"
    then: str = "false"


def _facts(
    question: Question, values: dict[str, Any], *, by_meter: bool = False, only: str | None = None
) -> sql.Composed:
    """Narrow sums by key, and by period and customer where these are asked for."""
    by_meter = by_meter or question.by_meter
    keep = _conditions(question, values, by_meter=by_meter)
    if only is not None:
        keep.append(sql.SQL("s.key in ({})").format(sql.SQL(only)))
    period = sql.SQL("0")
    if len(question.asked.bounds) > 2:
        values["bounds"] = list(question.asked.bounds)
        period = sql.SQL("width_bucket(s.bucket_us, %(bounds)s::bigint[]) - 1")
    customer = sql.SQL("s.customer_id") if "customer" in question.by else sql.SQL("null")
    name = "meter_sums" if by_meter else "sums"
    branches = []
    for number, (grain, ranges, known) in enumerate(_branches(question, values)):
        times = sql.SQL(" or ").join(_within(ranges, number, values))
        branches.append(
            sql.SQL(
                "select s.key, {period} as period, {customer} as customer_id, s.events,"
                " {quantity} as quantity, s.cost, s.price, {now} as now, {known_then} as known_then"
                " from {table} s where {keep}"
            ).format(
                period=period,
                customer=customer,
                quantity=sql.SQL("s.quantity" if by_meter else "0::numeric"),
                now=sql.SQL(known.now),
                known_then=sql.SQL(known.then),
                table=sql.Identifier("ledger", f"{name}_{grain}"),
                keep=sql.SQL(" and ").join([sql.SQL("({})").format(times), *keep]),
            )
        )
    measures = sql.SQL(", ").join(_measure(name, question.as_of) for name in _MEASURES)
    return sql.SQL(
        "select key, period, customer_id, {measures} from ({branches}) b group by key, period, customer_id"
    ).format(measures=measures, branches=sql.SQL(" union all ").join(branches))


_MEASURES = ("events", "quantity", "cost", "price")


def _measure(name: str, as_of: date | None) -> sql.Composed:
    column, then = sql.Identifier(name), sql.Identifier(f"{name}_then")
    if as_of is None:
        return sql.SQL("sum({column}) as {column}, 0 as {then}").format(column=column, then=then)
    return sql.SQL(
        "coalesce(sum({column}) filter (where now), 0) as {column},"
        " coalesce(sum({column}) filter (where known_then), 0) as {then}"
    ).format(column=column, then=then)


def _branches(question: Question, values: dict[str, Any]) -> list[tuple[str, Sequence[Range], _Known]]:
    """Which sums are read for which ranges. A month's sums tell the month in which they were posted, so what
    was known in the middle of a month takes the days of that month.
    """
    made = cover(question.asked.bounds)
    if question.as_of is None:
        found = list(zip(_GRAINS, (made.months, made.days, made.quarters), strict=True))
        return [(grain, ranges, _Known()) for grain, ranges in found if ranges]
    values["as_of"] = question.as_of
    fine = _Known(then="s.posted_day <= %(as_of)s")
    branches: list[tuple[str, Sequence[Range], _Known]] = []
    if made.months:
        values["as_of_month"] = question.as_of.replace(day=1)
        if question.as_of == month_end(question.as_of):
            branches.append(("month", made.months, _Known(then="s.posted_day <= %(as_of_month)s")))
        else:
            branches.append(("month", made.months, _Known(then="s.posted_day < %(as_of_month)s")))
            part = "s.posted_day between %(as_of_month)s and %(as_of)s"
            branches.append(("day", made.months, _Known(now="false", then=part)))
    found = [("day", made.days), ("15m", made.quarters)]
    return branches + [(grain, ranges, fine) for grain, ranges in found if ranges]


def _within(ranges: Sequence[Range], branch: int, values: dict[str, Any]) -> list[sql.Composed]:
    conditions = []
    for number, (start, end) in enumerate(ranges):
        names = f"start_{branch}_{number}", f"end_{branch}_{number}"
        values |= dict(zip(names, (start, end), strict=True))
        conditions.append(
            sql.SQL("s.bucket_us >= {} and s.bucket_us < {}").format(*map(sql.Placeholder, names))
        )
    return conditions


def _conditions(question: Question, values: dict[str, Any], *, by_meter: bool) -> list[sql.Composed]:
    keep = []
    about = []
    for number, (name, wanted) in enumerate(question.filters):
        holder = f"filter_{number}"
        values[holder] = list(wanted)
        if name == "customer":
            keep.append(sql.SQL("s.customer_id = any({})").format(sql.Placeholder(holder)))
            continue
        columns = _column(name) or _currencies()
        about.append(
            sql.SQL("({})").format(
                sql.SQL(" or ").join(
                    sql.SQL("{} = any({})").format(column, sql.Placeholder(holder)) for column in columns
                )
            )
        )
    if about:
        source = "select k.key from ledger.rollup_keys k where {}"
        if by_meter:
            source = (
                "select m.key from ledger.rollup_meter_keys m join ledger.rollup_keys k on k.key = m.sums_key"
                " where {}"
            )
        keys = sql.SQL(source).format(sql.SQL(" and ").join(about))
        keep.append(sql.SQL("s.key in ({})").format(keys))
    return keep


def _column(name: str) -> list[sql.Composable]:
    """What a dimension is in the roll-ups: columns, else a declared dimension by its name."""
    columns = _COLUMNS.get(name)
    if columns is not None:
        return [sql.SQL(column) for column in columns]
    return [sql.SQL("k.dimensions ->> {}").format(sql.Literal(name))]


def _currencies() -> list[sql.Composable]:
    return [sql.SQL("k.cost_currency"), sql.SQL("k.price_currency")]


def _quantity(name: str, *, by_meter: bool) -> sql.Composable:
    if not by_meter:
        return sql.SQL("null")
    return sql.SQL(
        "case when bool_or(m.counted) then coalesce(sum(f.{}) filter (where m.counted), 0)::text end"
    ).format(sql.Identifier(name))
