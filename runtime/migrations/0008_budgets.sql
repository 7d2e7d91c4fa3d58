-- Budgets: versions of the whole book of budgets, appended and never changed.
create schema guard;

create table guard.budget_versions (
    version       bigint       primary key check (version > 0),
    applied_at    timestamptz  not null default clock_timestamp(),
    author        text         not null check (author <> ''),
    note          text         not null,
    content       jsonb        not null,  -- the budgets in their canonical form
    content_hash  text         not null
);
comment on table guard.budget_versions is 'Every version of the budgets, append only';

create function guard.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'guard.% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create trigger budget_versions_no_change before update or delete on guard.budget_versions
    for each row execute function guard.refuse_change();
create trigger budget_versions_no_truncate before truncate on guard.budget_versions
    for each statement execute function guard.refuse_change();
alter table guard.budget_versions enable always trigger budget_versions_no_change;
alter table guard.budget_versions enable always trigger budget_versions_no_truncate;
revoke execute on function guard.refuse_change() from public;

grant usage on schema guard to ratestream_guard, ratestream_totals_writer, ratestream_ledger_reader;
grant select on guard.budget_versions to ratestream_guard, ratestream_totals_writer, ratestream_ledger_reader;
