-- A group role for each part that had none of its own: a login for it needs nothing beyond.
do $$
declare
    name text;
begin
    foreach name in array array['ratestream_rater', 'ratestream_aggregator', 'ratestream_operator'] loop
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

-- The ledger's batches go through temporary tables, which PUBLIC may make unless somebody took that right away.
do $$
begin
    execute format('grant temporary on database %I to ratestream_ledger_writer', current_database());
end
$$;

-- The rater reads the rate book, nothing else.
grant usage on schema rate_book to ratestream_rater;
grant select on rate_book.versions, rate_book.parts to ratestream_rater;

-- The aggregator asks the ledger for sums and says which repairs it has begun.
grant ratestream_ledger_reader to ratestream_aggregator;
grant delete on totals.repairs to ratestream_aggregator;

-- Operators store versions of the rate book and of budgets, note re-rates, close statements (which locks the
-- customer's progress: PostgreSQL demands the right to update for it), and have alerts sent again.
grant ratestream_ledger_reader to ratestream_operator;
grant insert on rate_book.versions, rate_book.parts, guard.budget_versions to ratestream_operator;
grant insert on ledger.runs, ledger.run_customers, ledger.statements, ledger.customers to ratestream_operator;
grant update (finished_at, totals) on ledger.runs to ratestream_operator;
grant update (gap_seq) on ledger.customers to ratestream_operator;
grant insert (alert_id, channel), update on guard.deliveries to ratestream_operator;
