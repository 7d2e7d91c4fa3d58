-- Roll-ups: what questions are asked of, kept in the transaction that writes the rows. Three grains of the same sums:
-- quarters of an hour (every time zone's days are made of them), UTC days and UTC months, so that a question over a
-- month or a year reads few rows. What sums are about stands once, in the keys; a sum is a narrow row beside it.
-- `posted_day` is the UTC day of the rated record's append time: what was known at the end of day D is posted_day <= D.
create table ledger.rollup_keys (
    key               bytea   primary key check (length(key) = 16),
    plan              text,
    cost_status       text    not null,
    price_status      text    not null,
    provider          text    not null,
    model             text,
    cost_currency     text,  -- null: no amount, which is not 0
    price_currency    text,
    service_start_us  bigint  not null,
    posting_start_us  bigint  not null,
    dimensions        jsonb   not null  -- the declared ones by name; null where the event has none
);

-- A reason is why a line has no price; null where it has one.
create table ledger.rollup_meter_keys (
    key           bytea  primary key check (length(key) = 16),
    sums_key      bytea  not null,
    meter         text   not null,
    counted       boolean not null,  -- false: amounts without a quantity (minimum_charge, tier_adjustment ...)
    cost_reason   text,
    price_reason  text
);

create table ledger.sums_15m (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index sums_15m_time on ledger.sums_15m using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.sums_15m is 'Sums by quarters of an hour';

create table ledger.meter_sums_15m (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    quantity     numeric not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index meter_sums_15m_time on ledger.meter_sums_15m using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.meter_sums_15m is 'Sums by quarters of an hour';

create table ledger.sums_day (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index sums_day_time on ledger.sums_day using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.sums_day is 'Sums by UTC days';

create table ledger.meter_sums_day (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    quantity     numeric not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index meter_sums_day_time on ledger.meter_sums_day using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.meter_sums_day is 'Sums by UTC days';

create table ledger.sums_month (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index sums_month_time on ledger.sums_month using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.sums_month is 'Sums by UTC months; posted_day is the first day of the month in which they were posted';

create table ledger.meter_sums_month (
    customer_id  text    not null,
    bucket_us    bigint  not null,
    posted_day   date    not null,
    key          bytea   not null,
    events       bigint  not null,
    quantity     numeric not null,
    cost         numeric not null,
    price        numeric not null,
    primary key (customer_id, bucket_us, posted_day, key)
) with (fillfactor = 80);
create index meter_sums_month_time on ledger.meter_sums_month using brin (bucket_us) with (pages_per_range = 16);
comment on table ledger.meter_sums_month is 'Sums by UTC months; posted_day is the first day of the month in which they were posted';

-- One row for each query and currency: what its calls cost and were charged in that currency. A call is counted in
-- the row of its cost's currency, else of its price's, else under ''.
create table ledger.queries (
    customer_id          text    not null,
    query_id             text    not null,
    currency             text    not null,
    calls                bigint  not null,
    cost                 numeric not null,
    price                numeric not null,
    first_event_time_us  bigint  not null,
    last_event_time_us   bigint  not null,
    first_seq            bigint  not null,
    last_seq             bigint  not null,
    day_us               bigint  not null generated always as (first_event_time_us - first_event_time_us % 86400000000) stored,
    primary key (customer_id, query_id, currency)
) with (fillfactor = 80);
create index queries_costliest on ledger.queries (day_us, currency, cost desc);

create view ledger.rollup as
    select posted_day, bucket_us, customer_id, key, plan, cost_status, price_status, provider, model, cost_currency,
           price_currency, service_start_us, posting_start_us, dimensions, events,
           case when cost_currency is not null then cost end as cost,
           case when price_currency is not null then price end as price
    from ledger.sums_15m join ledger.rollup_keys using (key);

create view ledger.rollup_meters as
    select s.posted_day, s.bucket_us, s.customer_id, s.key, k.plan, k.cost_status, k.price_status, k.provider, k.model,
           k.cost_currency, k.price_currency, k.service_start_us, k.posting_start_us, k.dimensions, m.meter,
           m.cost_reason, m.price_reason, s.events, case when m.counted then s.quantity end as quantity,
           case when k.cost_currency is not null then s.cost end as cost,
           case when k.price_currency is not null then s.price end as price
    from ledger.meter_sums_15m s
    join ledger.rollup_meter_keys m on m.key = s.key
    join ledger.rollup_keys k on k.key = m.sums_key;

create view ledger.rollup_days as
    select posted_day, bucket_us, customer_id, key, plan, cost_status, price_status, provider, model, cost_currency,
           price_currency, service_start_us, posting_start_us, dimensions, events,
           case when cost_currency is not null then cost end as cost,
           case when price_currency is not null then price end as price
    from ledger.sums_day join ledger.rollup_keys using (key);

create view ledger.rollup_meters_days as
    select s.posted_day, s.bucket_us, s.customer_id, s.key, k.plan, k.cost_status, k.price_status, k.provider, k.model,
           k.cost_currency, k.price_currency, k.service_start_us, k.posting_start_us, k.dimensions, m.meter,
           m.cost_reason, m.price_reason, s.events, case when m.counted then s.quantity end as quantity,
           case when k.cost_currency is not null then s.cost end as cost,
           case when k.price_currency is not null then s.price end as price
    from ledger.meter_sums_day s
    join ledger.rollup_meter_keys m on m.key = s.key
    join ledger.rollup_keys k on k.key = m.sums_key;

create view ledger.rollup_months as
    select posted_day, bucket_us, customer_id, key, plan, cost_status, price_status, provider, model, cost_currency,
           price_currency, service_start_us, posting_start_us, dimensions, events,
           case when cost_currency is not null then cost end as cost,
           case when price_currency is not null then price end as price
    from ledger.sums_month join ledger.rollup_keys using (key);

create view ledger.rollup_meters_months as
    select s.posted_day, s.bucket_us, s.customer_id, s.key, k.plan, k.cost_status, k.price_status, k.provider, k.model,
           k.cost_currency, k.price_currency, k.service_start_us, k.posting_start_us, k.dimensions, m.meter,
           m.cost_reason, m.price_reason, s.events, case when m.counted then s.quantity end as quantity,
           case when k.cost_currency is not null then s.cost end as cost,
           case when k.price_currency is not null then s.price end as price
    from ledger.meter_sums_month s
    join ledger.rollup_meter_keys m on m.key = s.key
    join ledger.rollup_keys k on k.key = m.sums_key;

grant select, insert on ledger.rollup_keys, ledger.rollup_meter_keys to ratestream_ledger_writer;
grant select, insert, update on ledger.sums_15m, ledger.sums_day, ledger.sums_month, ledger.meter_sums_15m,
    ledger.meter_sums_day, ledger.meter_sums_month, ledger.queries to ratestream_ledger_writer;
grant select on all tables in schema ledger to ratestream_ledger_reader;
-- The writer reads which dimensions a version declares; questions ask what another model would have cost.
grant usage on schema rate_book to ratestream_ledger_writer, ratestream_ledger_reader;
grant select on rate_book.versions, rate_book.parts to ratestream_ledger_writer, ratestream_ledger_reader;
