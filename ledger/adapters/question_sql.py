"""The statements of questions: of roll-ups and of nothing else; every value is a parameter.

What is asked of a key is worked out once a key, and the long lists are narrow. A time is made of whole months
and days, and of quarters of an hour at its edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from psycopg import sql

from ledger.core.questions import COST_STATUS, PRICE_STATUS, Question, question_columns
from ledger.core.questions_time import Asked, Part, Range, cover, month_end
from pricing.instants import DAY_US

_COLUMNS: dict[str, tuple[str, ...]] = {
    "plan": ("k.plan",),
    "status": ("k.cost_status", "k.price_status"),
    "provider": ("k.provider",),
    "model": ("k.model",),
    "meter": ("m.meter",),
    "currency": (),
    COST_STATUS: ("k.cost_status",),
    PRICE_STATUS: ("k.price_status",),
}


class Statement(NamedTuple):
    """A statement and its parameters; tests explain it."""

    text: sql.Composed
    values: dict[str, Any]


def sums_statement(question: Question) -> Statement:
    """The one query for what is known now and what was known then."""
    values: dict[str, Any] = {}
    about = [*_about(question), ("cost_currency", "k.cost_currency"), ("price_currency", "k.price_currency")]
    names = [name for name, _ in about]
    group = sql.SQL(", ").join(
        [sql.SQL("b.period"), *(_grouped(name) for name in [*question.group_columns, *names[-2:]])]
    )
    if question.by_meter:
        about.append(("counted", "m.counted"))
    text = sql.SQL(
        "with k as materialized ({keys}) select {group}, {known} from ({facts}) b join k on k.key = b.key"
        " group by {group}"
    ).format(
        keys=_keys(question, about, values, by_meter=question.by_meter),
        group=group,
        known=_known_measures(question),
        facts=_facts(question, values, by_meter=question.by_meter),
    )
    return Statement(text, values)


def unpriced_statement(question: Question) -> Statement:
    """Its sums are those of the few keys that have a reason."""
    values: dict[str, Any] = {}
    about = [
        *_about(question),
        ("k_provider", "k.provider"),
        ("k_model", "k.model"),
        ("k_meter", "m.meter"),
        ("counted", "m.counted"),
        ("cost_reason", "m.cost_reason"),
        ("price_reason", "m.price_reason"),
    ]
    group = sql.SQL("").join(sql.SQL(", {}").format(_grouped(name)) for name in question.group_columns)
    text = sql.SQL(
        "with k as materialized ({keys}) select side.name, k.k_provider, k.k_model, k.k_meter, side.reason,"
        " sum(b.events), case when bool_and(k.counted) then sum(b.quantity)::text end{group}"
        " from ({facts}) b join k on k.key = b.key"
        " cross join lateral (values ('cost', k.cost_reason), ('price', k.price_reason)) side (name, reason)"
        " where side.reason is not null group by 1, 2, 3, 4, 5{group}"
    ).format(
        keys=_keys(
            question, about, values, by_meter=True, only="num_nonnulls(m.cost_reason, m.price_reason) > 0"
        ),
        group=group,
        facts=_facts(question, values, by_meter=True),
    )
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


def _about(question: Question) -> list[tuple[str, str | sql.Composable]]:
    """The columns that tell keys apart, by name; the customer is no part of a key."""
    return [
        pair
        for name in question.by
        if name != "customer"
        for pair in zip(question_columns(name), _columns(name), strict=True)
    ]


def _columns(name: str) -> Sequence[str | sql.Composable]:
    """What a dimension is of a key: columns, else a declared dimension by its name."""
    found = _COLUMNS.get(name)
    return (sql.SQL("k.dimensions ->> {}").format(sql.Literal(name)),) if found is None else found


def _grouped(column: str) -> sql.Composable:
    return sql.SQL("b.customer_id") if column == "customer" else sql.Identifier("k", column)


def _composed(expression: str | sql.Composable) -> sql.Composable:
    return expression if isinstance(expression, sql.Composable) else sql.SQL(expression)


def _keys(
    question: Question,
    about: Sequence[tuple[str, str | sql.Composable]],
    values: dict[str, Any],
    *,
    by_meter: bool,
    only: str = "true",
) -> sql.Composed:
    """The keys that the filters let through, each with what is asked of it worked out once."""
    source = "ledger.rollup_keys k"
    if by_meter:
        source = "ledger.rollup_meter_keys m join ledger.rollup_keys k on k.key = m.sums_key"
    conditions: list[sql.Composable] = [sql.SQL(only)]
    for number, (name, wanted) in enumerate(question.filters):
        if name == "customer":
            continue
        holder = f"filter_{number}"
        values[holder] = list(wanted)
        columns = _columns(name) or ("k.cost_currency", "k.price_currency")
        # The answer's empty value is asked for as it is shown, whether the event had an empty one or none.
        test = sql.SQL("coalesce({}, '') = any({})" if "" in wanted else "{} = any({})")
        either = [test.format(_composed(column), sql.Placeholder(holder)) for column in columns]
        conditions.append(sql.SQL("({})").format(sql.SQL(" or ").join(either)))
    told = [
        sql.SQL("{} as {}").format(_composed(expression), sql.Identifier(name)) for name, expression in about
    ]
    return sql.SQL("select {key}, {told} from {source} where {conditions}").format(
        key=sql.SQL("m.key" if by_meter else "k.key"),
        told=sql.SQL(", ").join(told),
        source=sql.SQL(source),
        conditions=sql.SQL(" and ").join(conditions),
    )


def _known_measures(question: Question) -> sql.Composed:
    """Events, cost, price and quantity as known now, and the same as known then."""
    now = "" if question.as_of is None else " filter (where b.now)"
    parts = [_measures_of(question, now)]
    if question.as_of is not None:
        parts.append(_measures_of(question, " filter (where b.known_then)"))
    return sql.SQL(", ").join(parts)


def _measures_of(question: Question, kept: str) -> sql.Composed:
    quantity = "null"
    if question.by_meter:
        quantity = f"case when bool_or(k.counted) then coalesce(sum(b.quantity){kept}, 0)::text end"
    sums = [f"coalesce(sum(b.{name}){kept}, 0)::text" for name in ("events", "cost", "price")]
    return sql.SQL(", ").join(sql.SQL(part) for part in (*sums, quantity))


def _facts(question: Question, values: dict[str, Any], *, by_meter: bool) -> sql.Composed:
    """The narrow sums of the time asked about, each with its period."""
    customers: list[sql.Composable] = []
    for number, (name, wanted) in enumerate(question.filters):
        if name == "customer":
            holder = f"customers_{number}"
            values[holder] = list(wanted)
            customers.append(sql.SQL("s.customer_id = any({})").format(sql.Placeholder(holder)))
    name = "meter_sums" if by_meter else "sums"
    branches = []
    for number, (part, known) in enumerate(_branches(question, values)):
        period: sql.Composable = sql.SQL("0")
        if len(part.bounds) > 2:
            holder = f"bounds_{number}"
            values[holder] = list(part.bounds)
            period = sql.SQL("width_bucket(s.bucket_us, {}::bigint[]) - 1").format(sql.Placeholder(holder))
        times = sql.SQL(" or ").join(_within(part.ranges, number, values))
        sign = "-" if part.sign < 0 else ""
        measures = ("events", "quantity", "cost", "price") if by_meter else ("events", "cost", "price")
        branches.append(
            sql.SQL(
                "select s.key, s.customer_id, {period} as period, {measures}, {now} as now,"
                " {then} as known_then from {table} s where {keep}"
            ).format(
                period=period,
                measures=sql.SQL(", ").join(
                    sql.SQL(f"{sign}s.{measure} as {measure}") for measure in measures
                ),
                now=sql.SQL(known.now),
                then=sql.SQL(known.then),
                table=sql.Identifier("ledger", f"{name}_{part.grain}"),
                keep=sql.SQL(" and ").join([sql.SQL("({})").format(times), *customers]),
            )
        )
    return sql.SQL(" union all ").join(branches)


@dataclass(frozen=True, slots=True)
class _Known:
    """When a branch's rows count: what is known now, and what was known then; SQL conditions."""

    now: str = "true"
    then: str = "false"


def _branches(question: Question, values: dict[str, Any]) -> list[tuple[Part, _Known]]:
    """Which sums are read. A month's sums tell the month in which they were posted, so what was known in the
    middle of a month takes the days of that month.
    """
    parts = cover(question.asked)
    if question.as_of is None:
        return [(part, _Known()) for part in parts]
    first = question.as_of.replace(day=1)
    values["as_of"], values["as_of_month"] = question.as_of, first
    found = []
    for part in parts:
        if part.grain != "month":
            found.append((part, _Known(then="s.posted_day <= %(as_of)s")))
        elif question.as_of == month_end(question.as_of):
            found.append((part, _Known(then="s.posted_day <= %(as_of_month)s")))
        else:
            found.append((part, _Known(then="s.posted_day < %(as_of_month)s")))
            within = "s.posted_day between %(as_of_month)s and %(as_of)s"
            found.append((replace(part, grain="day"), _Known(now="false", then=within)))
    return found


def _within(ranges: Sequence[Range], branch: int, values: dict[str, Any]) -> list[sql.Composed]:
    conditions = []
    for number, (start, end) in enumerate(ranges):
        names = f"start_{branch}_{number}", f"end_{branch}_{number}"
        values |= dict(zip(names, (start, end), strict=True))
        conditions.append(
            sql.SQL("s.bucket_us >= {} and s.bucket_us < {}").format(*map(sql.Placeholder, names))
        )
    return conditions
