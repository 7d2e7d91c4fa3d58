-- Statements: a closed billing period of a customer, kept as it was written. A statement is never altered: what comes
-- later is posted to the customer's next period, and stands on that period's statement as a difference.
create table ledger.statements (
    customer_id      text        not null,
    number           bigint      not null check (number > 0),  -- 1, 2, 3 ... for each customer
    currency         text        not null,  -- of all its amounts: a period in two currencies has two statements
    period_start_us  bigint      not null,
    period_end_us    bigint      not null check (period_end_us > period_start_us),
    next_end_us      bigint      not null check (next_end_us > period_end_us),  -- of the period after it, by the calendar
    total            numeric     not null,  -- rounded by the currency's rule
    through_seq      bigint      not null check (through_seq >= 0),  -- every rated record of the customer up to it
    content          text        not null,  -- canonical JSON: all that the statement says
    content_sha256   text        not null check (content_sha256 = encode(sha256(convert_to(content, 'UTF8')), 'hex')),
    early            boolean     not null,  -- closed before late events of the period had become impossible
    author           text        not null check (author <> ''),
    reason           text        not null check (reason <> ''),
    closed_at        timestamptz not null,
    primary key (customer_id, number),
    unique (customer_id, period_start_us, currency)
);

comment on table ledger.statements is 'Closed billing periods: append only, see docs/reference/statements.md';

-- Numbers without a gap, periods in order. The close holds the customer's row of ledger.customers, so that no other
-- close and no batch of the customer is under way.
create function ledger.check_statement() returns trigger language plpgsql as $$
declare
    last record;
begin
    select number, period_start_us, period_end_us into last from ledger.statements
        where customer_id = new.customer_id order by number desc limit 1;
    if new.number <> coalesce(last.number, 0) + 1 then
        raise exception 'ledger.statements: number % of % does not follow %', new.number, new.customer_id,
            coalesce(last.number, 0) using errcode = 'restrict_violation';
    end if;
    if new.period_start_us < last.period_end_us
            and (new.period_start_us, new.period_end_us) <> (last.period_start_us, last.period_end_us) then
        raise exception 'ledger.statements: the period of number % of % begins before the one before it ended',
            new.number, new.customer_id using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger statements_in_order before insert on ledger.statements
    for each row execute function ledger.check_statement();
create trigger statements_no_change before update or delete on ledger.statements
    for each row execute function ledger.refuse_change();
create trigger statements_no_truncate before truncate on ledger.statements
    for each statement execute function ledger.refuse_change();
alter table ledger.statements enable always trigger statements_in_order;
alter table ledger.statements enable always trigger statements_no_change;
alter table ledger.statements enable always trigger statements_no_truncate;

revoke execute on function ledger.check_statement() from public;
grant select, insert on ledger.statements to ratestream_ledger_writer;
grant select on ledger.rollup_months, ledger.rollup_meters_months to ratestream_ledger_writer;  -- what a close reads
grant select on ledger.statements to ratestream_ledger_reader;
