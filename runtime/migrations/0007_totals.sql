-- Running totals: the newest value of each customer as usage.totals tells it, beside the ledger, which is the truth;
-- and what the ledger needs to tell a customer's totals as of any of its sequences.
create schema totals;

do $$
declare
    name text;
begin
    foreach name in array array['ratestream_totals_writer', 'ratestream_guard'] loop
        if not exists (select from pg_roles where rolname = name) then
            begin
                execute format('create role %I nologin', name);
            exception when duplicate_object or unique_violation then
                null;
            end;
        end if;
        if not pg_has_role(current_user, name, 'member') then
            execute format('grant %I to current_user', name);
        end if;
    end loop;
end
$$;

create table totals.customers (
    customer_id  text         primary key,
    as_of_seq    bigint       not null check (as_of_seq >= 0),  -- every sequence up to it is in the entries, none above
    as_of_us     bigint       not null,  -- the highest append time that the last frame had seen
    zone         text         not null,  -- in which hours, days and weeks begin
    watched      text         not null,  -- hash of the zone and the scopes that the value was made for
    entries      jsonb        not null,  -- amounts and quantities as text, exact
    updated_at   timestamptz  not null default clock_timestamp()
) with (fillfactor = 70);
comment on table totals.customers is 'Live windows of each customer, as usage.totals tells them';

-- Somebody asks the aggregator to build a customer's totals anew; it deletes the row when it has begun.
create table totals.repairs (
    customer_id   text         primary key,
    requested_at  timestamptz  not null default clock_timestamp(),
    reason        text         not null check (reason <> ''),
    by            text         not null check (by <> '')
);

create table totals.drift (
    id           bigint       generated always as identity primary key,
    found_at     timestamptz  not null default clock_timestamp(),
    customer_id  text         not null,
    as_of_seq    bigint       not null,
    what         jsonb        not null  -- where ledger and totals differ at that sequence
);
create index drift_customer on totals.drift (customer_id, found_at);
comment on table totals.drift is 'Where a customer''s totals were not the ledger''s';

grant usage on schema totals to ratestream_totals_writer, ratestream_guard, ratestream_ledger_reader;
grant select on all tables in schema totals to ratestream_totals_writer, ratestream_guard, ratestream_ledger_reader;
grant insert, update on totals.customers to ratestream_totals_writer;
grant delete on totals.repairs to ratestream_totals_writer;
grant insert, update on totals.repairs to ratestream_guard;
grant insert on totals.drift to ratestream_guard;

-- A sum that is 0 tells not whether it had a row at some sequence; its first sequence does. What was summed before
-- this migration counts as having been there always.
alter table ledger.sums_15m add column first_seq bigint not null default 0;
alter table ledger.sums_day add column first_seq bigint not null default 0;
alter table ledger.sums_month add column first_seq bigint not null default 0;

-- When a customer's service periods end, and since which sequence that is known. Sums know their start only.
create table ledger.periods (
    customer_id       text    not null,
    service_start_us  bigint  not null,
    service_end_us    bigint  not null,
    first_seq         bigint  not null,
    primary key (customer_id, service_start_us, service_end_us)
);
set local statement_timeout = 0;  -- reads every row once
insert into ledger.periods
    select customer_id, service_start_us, service_end_us, min(customer_seq) from ledger.rated group by 1, 2, 3;
comment on table ledger.periods is 'Service periods of each customer, as rated records name them';

-- Whether a correction came after some sequence is asked before anything is taken back.
create index rated_reversals on ledger.rated (customer_id, customer_seq) where leg = 'reversal';

grant select, insert, update on ledger.periods to ratestream_ledger_writer;
grant select on ledger.periods to ratestream_ledger_reader;
