-- The ledger: what usage.rated and usage.rejected say, row by row, and how far they have been taken over.
-- Rows are append-only for everybody: by privilege, and by triggers that hold for the owner too.
create schema ledger;

-- Group roles: the service writes as one, questions are asked as the other; neither owns anything. Roles belong
-- to the server, so another database may have made them, or be making them now.
do $$
declare
    name text;
begin
    foreach name in array array['ratestream_ledger_writer', 'ratestream_ledger_reader'] loop
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

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

-- What was rated. The key says that nothing counts twice; its order serves look-ups of one event, and that of
-- the sequence serves a customer's events in their order. Both must name the day, which goes last.
create table ledger.rated (
    posted_day        date           not null,  -- UTC day of posted_at
    customer_id       text           not null,
    source            text           not null,
    event_id          text           not null,
    revision          bigint         not null,
    leg               text           not null,  -- original, reversal, replacement
    customer_seq      bigint         not null,
    kafka_partition   integer        not null,  -- of usage.rated
    kafka_offset      bigint         not null,
    posted_at         timestamptz    not null,  -- append time in usage.rated
    event_time        timestamptz    not null,
    event_time_us     bigint         not null,
    query_id          text,
    parent_event_id   text,
    attempt           bigint,
    project           text,
    user_id           text,
    product           text,
    feature           text,
    provider          text           not null,
    model             text,                     -- billed, else served, else requested
    plan              text,
    book_version      bigint         not null,
    correction_id     text,
    service_start_us  bigint         not null,  -- the billing period of event time
    service_end_us    bigint         not null,
    posting_start_us  bigint         not null,  -- the period whose statement has it
    posting_end_us    bigint         not null,
    cost_status       text           not null,
    cost              numeric(38,18),
    cost_currency     text,
    price_status      text           not null,
    price             numeric(38,18),
    price_currency    text,
    record            bytea          not null,  -- the whole value, so that it can be computed again years later
    primary key (customer_id, source, event_id, revision, leg, posted_day),
    unique (customer_id, customer_seq, posted_day)
) partition by range (posted_day);

create table ledger.rejected (
    posted_day       date    not null,
    kafka_partition  integer not null,  -- of usage.rejected
    kafka_offset     bigint  not null,
    reason           text    not null,
    field            text,
    detail           text    not null,
    customer_id      text,
    source           text,
    event_id         text,
    topic            text    not null,  -- the input that it came on
    input_partition  integer not null,
    input_offset     bigint  not null,
    record           bytea   not null,
    primary key (kafka_partition, kafka_offset, posted_day)
) partition by range (posted_day);

-- Records that stand in the topics and cannot stand above: kept as they are, named by verify, stopping nothing.
create table ledger.bad_records (
    topic_id         text        not null,
    topic            text        not null,
    kafka_partition  integer     not null,
    kafka_offset     bigint      not null,
    problem          text        not null,
    value            bytea,
    recorded_at      timestamptz not null default now(),
    primary key (topic_id, kafka_partition, kafka_offset)
);

-- How far each partition has been taken over; by Kafka's topic id, so that a topic made anew begins anew.
create table ledger.positions (
    topic_id         text    not null,
    topic            text    not null,
    kafka_partition  integer not null,
    next_offset      bigint  not null check (next_offset >= 0),
    primary key (topic_id, kafka_partition)
) with (fillfactor = 50);

create table ledger.customers (
    customer_id     text   primary key,
    contiguous_seq  bigint not null check (contiguous_seq >= 0),  -- every sequence up to it is in the ledger
    last_seq        bigint not null check (last_seq >= contiguous_seq),
    gap_seq         bigint,  -- the first sequence that is missing although a later one is here
    check (gap_seq is null or gap_seq = contiguous_seq + 1)
) with (fillfactor = 70);

create table ledger.detached (
    posted_day   date        primary key,
    detached_at  timestamptz not null default now(),
    detached_by  text        not null default session_user
);

comment on table ledger.rated is 'What usage.rated says, append only, one partition a day';
comment on table ledger.customers is 'How far each customer''s sequence is in the ledger without a gap';
comment on table ledger.detached is 'Days whose rows were taken out of rated and rejected; their roll-ups stay';

-- "always": session_replication_role does not switch them off. Those of rows are copied to every partition.
create trigger rated_no_change before update or delete on ledger.rated
    for each row execute function ledger.refuse_change();
create trigger rated_no_truncate before truncate on ledger.rated
    for each statement execute function ledger.refuse_change();
create trigger rejected_no_change before update or delete on ledger.rejected
    for each row execute function ledger.refuse_change();
create trigger rejected_no_truncate before truncate on ledger.rejected
    for each statement execute function ledger.refuse_change();
create trigger bad_records_no_change before update or delete on ledger.bad_records
    for each row execute function ledger.refuse_change();
create trigger bad_records_no_truncate before truncate on ledger.bad_records
    for each statement execute function ledger.refuse_change();
alter table ledger.rated enable always trigger rated_no_change;
alter table ledger.rated enable always trigger rated_no_truncate;
alter table ledger.rejected enable always trigger rejected_no_change;
alter table ledger.rejected enable always trigger rejected_no_truncate;
alter table ledger.bad_records enable always trigger bad_records_no_change;
alter table ledger.bad_records enable always trigger bad_records_no_truncate;

-- The partitions of one UTC day. As the owner, because the writer may make nothing else; attached rather than
-- created in place, because that blocks neither readers nor writers of other days.
create function ledger.make_day(day date) returns void language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent text;
    child  text;
begin
    lock table ledger.detached in share row exclusive mode;  -- one at a time
    foreach parent in array array['rated', 'rejected'] loop
        child := parent || '_' || to_char(day, 'YYYYMMDD');
        if to_regclass(format('ledger.%I', child)) is null then
            execute format('create table ledger.%I (like ledger.%I including all)', child, parent);
            execute format('create trigger no_truncate before truncate on ledger.%I'
                           ' for each statement execute function ledger.refuse_change()', child);
            execute format('alter table ledger.%I enable always trigger no_truncate', child);
            execute format('alter table ledger.%I attach partition ledger.%I for values from (%L) to (%L)',
                           parent, child, day, day + 1);
        elsif not exists (select from pg_inherits
                          where inhrelid = format('ledger.%I', child)::regclass and not inhdetachpending) then
            raise exception 'ledger.%: the day % was detached', child, day
                using errcode = 'object_not_in_prerequisite_state';
        end if;
    end loop;
end
$$;

grant usage on schema ledger to ratestream_ledger_writer, ratestream_ledger_reader;
grant select, insert on ledger.rated, ledger.rejected, ledger.bad_records, ledger.positions, ledger.customers
    to ratestream_ledger_writer;
grant select on ledger.detached to ratestream_ledger_writer;
grant update on ledger.positions, ledger.customers to ratestream_ledger_writer;
grant select on all tables in schema ledger to ratestream_ledger_reader;
revoke execute on all functions in schema ledger from public;
grant execute on function ledger.make_day(date) to ratestream_ledger_writer;
