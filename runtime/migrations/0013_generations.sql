-- Generations of topics: partitions and offsets of one mean nothing in another, so rows say whose theirs are.
create table ledger.generations (
    generation         smallint     primary key check (generation > 0),  -- the first has none: 0
    topic_prefix       text         not null,
    partitions         integer      not null check (partitions > 0),
    rejected_topic_id  text         not null unique,  -- Kafka's id of usage.rejected, which tells a generation
    begun_at           timestamptz  not null default clock_timestamp()
);
comment on table ledger.generations is 'Generations of topics after the first; each goes on from the one before';

-- The generation of the session, which the ledger's worker sets: rows cost nothing to mark, and a worker of a build
-- that knows no generations writes those of the first. No row is rewritten: the value now is the one for all.
alter table ledger.rated
    add column generation smallint not null
    default coalesce(nullif(current_setting('ratestream.generation', true), ''), '0')::smallint;
alter table ledger.rejected
    add column generation smallint not null
    default coalesce(nullif(current_setting('ratestream.generation', true), ''), '0')::smallint;

-- Days that were detached get it too, so that they can be attached again.
do $$
declare
    child text;
begin
    for child in
        select c.relname from pg_class c
        where c.relnamespace = 'ledger'::regnamespace and c.relkind = 'r' and not c.relispartition
          and c.relname ~ '^(rated|rejected)_[0-9]{8}$'
    loop
        execute format('alter table ledger.%I add column generation smallint not null default 0', child);
        if child like 'rejected%' then
            execute format('alter table ledger.%I drop constraint %I', child, child || '_pkey');
            execute format('alter table ledger.%I add primary key'
                           ' (generation, kafka_partition, kafka_offset, posted_day)', child);
        end if;
    end loop;
end
$$;

alter table ledger.rejected drop constraint rejected_pkey;
alter table ledger.rejected add primary key (generation, kafka_partition, kafka_offset, posted_day);

grant select on ledger.generations to ratestream_ledger_writer, ratestream_ledger_reader;
