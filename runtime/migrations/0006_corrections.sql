-- Re-rates: what was asked, by whom and why, and for which customers with which cut, so that a run that was
-- interrupted goes on with the very same commands. What the commands did stands in ledger.rated, by correction id.
create table ledger.runs (
    run_id        text        primary key,
    asked         jsonb       not null,  -- the arguments, in one order: the same ones continue an unfinished run
    book_version  bigint      not null,
    author        text        not null,
    reason        text        not null,
    created_at    timestamptz not null default clock_timestamp(),
    finished_at   timestamptz,
    totals        jsonb,                 -- what was to change, what did, what was refused, what arrived meanwhile
    check ((finished_at is null) = (totals is null))
);
create unique index runs_one_open on ledger.runs (asked) where finished_at is null;

-- A customer's commands are made of the records with sequences up to cut_seq: the same ones whenever they are made.
create table ledger.run_customers (
    run_id       text    not null references ledger.runs,
    customer_id  text    not null,
    cut_seq      bigint  not null check (cut_seq > 0),
    primary key (run_id, customer_id)
);

-- A command that was refused is found by its customer.
create index rejected_corrections on ledger.rejected (customer_id) where topic = 'usage.corrections';

comment on table ledger.runs is 'Re-rates: append only, but for the mark that one is finished';

create function ledger.check_run_change() returns trigger language plpgsql as $$
begin
    if old.finished_at is not null or new.finished_at is null
       or (to_jsonb(new) - array['finished_at', 'totals']) <> (to_jsonb(old) - array['finished_at', 'totals']) then
        raise exception 'ledger.runs is append-only: a run is finished once, nothing else changes'
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger runs_finish_only before update on ledger.runs for each row execute function ledger.check_run_change();
create trigger runs_no_delete before delete on ledger.runs for each row execute function ledger.refuse_change();
create trigger runs_no_truncate before truncate on ledger.runs
    for each statement execute function ledger.refuse_change();
create trigger run_customers_no_change before update or delete on ledger.run_customers
    for each row execute function ledger.refuse_change();
create trigger run_customers_no_truncate before truncate on ledger.run_customers
    for each statement execute function ledger.refuse_change();
alter table ledger.runs enable always trigger runs_finish_only;
alter table ledger.runs enable always trigger runs_no_delete;
alter table ledger.runs enable always trigger runs_no_truncate;
alter table ledger.run_customers enable always trigger run_customers_no_change;
alter table ledger.run_customers enable always trigger run_customers_no_truncate;

revoke execute on function ledger.check_run_change() from public;
grant select, insert on ledger.runs, ledger.run_customers to ratestream_ledger_writer;
grant update (finished_at, totals) on ledger.runs to ratestream_ledger_writer;
grant select on ledger.runs, ledger.run_customers to ratestream_ledger_reader;
