-- Alerts: what was raised, what crossed, what has to be delivered where and how that went, and the state of each
-- budgeted scope as it is published. An alert's id is made of what it says, so whoever raises it raises it once.

create table guard.alerts (
    alert_id      text         primary key,
    kind          text         not null check (kind in ('threshold', 'retraction', 'unpriced', 'uncovered_currency',
                                                        'operations')),
    severity      text         not null check (severity in ('info', 'warning', 'critical')),
    customer_id   text,                    -- null: about the pipeline
    body          jsonb        not null,   -- the BudgetAlert as it was raised: amounts as text, exact
    raised_at     timestamptz  not null,
    late          boolean      not null default false,  -- found by the reconciler
    channels      text[]       not null default '{}',   -- it goes to these, as decided when it was raised
    details       jsonb,                   -- crossing_event and contributors, once the ledger has them
    published_at  timestamptz              -- to budget.alerts, as it is now; null: not yet
);
create index alerts_raised on guard.alerts (raised_at);
create index alerts_customer on guard.alerts (customer_id, raised_at);
create index alerts_unpublished on guard.alerts (raised_at) where published_at is null;
create index alerts_without_details on guard.alerts (customer_id) where details is null and kind = 'threshold';
comment on table guard.alerts is 'Every alert ever raised, one row an id';

-- A threshold that was crossed in a window, and the alerts that said so. Once retracted, the next crossing is the next
-- episode.
create table guard.firings (
    customer_id         text            not null,
    budget_id           text            not null,
    scope_key           text            not null,
    window_kind         text            not null,
    period_start_us     bigint          not null,
    threshold           text            not null,  -- measure, currency and amount: what it compares
    episode             integer         not null check (episode > 0),
    threshold_amount    numeric(38,18)  not null,
    measure             text            not null,
    currency            text,
    alert_id            text            not null references guard.alerts,
    fired_seq           bigint          not null,  -- as_of_seq of the totals that crossed
    budget_version      bigint          not null,
    retracted_alert_id  text            references guard.alerts,
    retracted_seq       bigint,         -- as_of_seq of the totals that took it back
    check ((retracted_alert_id is null) = (retracted_seq is null)),
    primary key (customer_id, budget_id, scope_key, window_kind, period_start_us, threshold, episode)
);
comment on table guard.firings is 'Thresholds that were crossed';

-- What a channel is sent: one alert under its own id, or a group of them under the group's.
create table guard.messages (
    message_id  text         not null,
    channel     text         not null,
    body        text         not null,
    alert_ids   text[]       not null,
    created_at  timestamptz  not null default clock_timestamp(),
    primary key (message_id, channel)
);

create table guard.deliveries (
    alert_id          text         not null references guard.alerts,
    channel           text         not null,
    status            text         not null default 'pending'
                                   check (status in ('pending', 'grouped', 'delivered', 'dead', 'skipped')),
    attempts          integer      not null default 0,
    next_attempt_at   timestamptz  not null default clock_timestamp(),
    first_attempt_at  timestamptz,
    delivered_at      timestamptz,
    message_id        text,        -- that carries it; its own id, or a group's
    last_error        text,
    primary key (alert_id, channel)
);
create index deliveries_due on guard.deliveries (channel, next_attempt_at) where status in ('pending', 'grouped');
create index deliveries_message on guard.deliveries (message_id, channel);
create index deliveries_delivered on guard.deliveries (channel, delivered_at);
create index deliveries_dead on guard.deliveries (channel) where status = 'dead';
comment on table guard.deliveries is 'Which channel has each alert to deliver, and how far it is';

create table guard.attempts (
    id           bigint       generated always as identity primary key,
    message_id   text         not null,
    channel      text         not null,
    at           timestamptz  not null,
    attempt      integer      not null,
    status_code  integer,
    error        text,
    duration_ms  integer      not null
);
create index attempts_message on guard.attempts (message_id, channel, at);
comment on table guard.attempts is 'Every attempt to deliver, as it went';

-- What gateways obey, a scope a row. The revision tells a publisher whether what it published is still what stands.
create table guard.states (
    customer_id     text         not null,
    scope_key       text         not null,
    state           text         not null check (state in ('ok', 'soft', 'hard')),
    valid_until_us  bigint,                 -- from then on it counts as ok; null is without end
    as_of_seq       bigint       not null,
    body            jsonb        not null,  -- the BudgetState
    revision        bigint       not null default 1,
    changed_at      timestamptz  not null default clock_timestamp(),
    published_at    timestamptz,
    primary key (customer_id, scope_key)
) with (fillfactor = 70);
create index states_unpublished on guard.states (changed_at) where published_at is null;
create index states_ending on guard.states (valid_until_us) where state <> 'ok';
comment on table guard.states is 'The newest state of each budgeted scope';

-- Which guard works on a partition of usage.totals. Who takes it over counts the epoch up, so that what a predecessor
-- still tries to write, stopped for however long, is refused.
create table guard.owners (
    topic            text         not null,
    kafka_partition  integer      not null,
    epoch            bigint       not null,
    owner            text         not null,
    budget_version   bigint       not null default -1,  -- all its customers were held against this one
    since            timestamptz  not null default clock_timestamp(),
    primary key (topic, kafka_partition)
) with (fillfactor = 50);

-- What is wrong with the pipeline, and since when; one alert an episode.
create table guard.episodes (
    what       text         not null,
    episode    integer      not null check (episode > 0),
    alert_id   text         not null references guard.alerts,
    opened_at  timestamptz  not null,
    closed_at  timestamptz,
    primary key (what, episode)
);
create unique index episodes_one_open on guard.episodes (what) where closed_at is null;

-- The ledger is where the guard's reconciler learns what is true.
grant ratestream_ledger_reader to ratestream_guard;
grant usage on schema guard to ratestream_guard, ratestream_ledger_reader;
grant select on all tables in schema guard to ratestream_guard, ratestream_ledger_reader;
grant insert on all tables in schema guard to ratestream_guard;
grant update (details, published_at) on guard.alerts to ratestream_guard;
grant update (retracted_alert_id, retracted_seq) on guard.firings to ratestream_guard;
grant update on guard.deliveries, guard.states, guard.owners to ratestream_guard;
grant update (closed_at) on guard.episodes to ratestream_guard;
