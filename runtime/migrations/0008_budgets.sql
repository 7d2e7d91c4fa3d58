-- Budgets: versions of the whole book of budgets, appended and never changed.
create schema guard;

create table guard.budget_versions (
    version       bigint       generated always as identity primary key,
    applied_at    timestamptz  not null default clock_timestamp(),
    author        text         not null check (author <> ''),
    note          text         not null,
    content       jsonb        not null,  -- the budgets in their canonical form
    content_hash  text         not null
);
comment on table guard.budget_versions is 'Every version of the budgets, append only';

grant usage on schema guard to ratestream_guard, ratestream_totals_writer, ratestream_ledger_reader;
grant select on guard.budget_versions to ratestream_guard, ratestream_totals_writer, ratestream_ledger_reader;
