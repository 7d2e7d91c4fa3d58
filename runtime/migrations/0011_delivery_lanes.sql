-- What a channel does for one message must not depend on how many wait: what goes next is where an index begins.

alter table guard.deliveries
    add column severity_rank smallint not null default 2;  -- of the alert: 0 info, 1 warning, 2 critical
update guard.deliveries d set severity_rank = array_position(array['info', 'warning', 'critical'], a.severity) - 1
    from guard.alerts a where a.alert_id = d.alert_id;

-- Deliveries are written by several statements; none may forget it.
create function guard.rank_delivery() returns trigger language plpgsql as $$
begin
    select array_position(array['info', 'warning', 'critical'], a.severity) - 1 into new.severity_rank
        from guard.alerts a where a.alert_id = new.alert_id;
    new.severity_rank := coalesce(new.severity_rank, 2);  -- no such alert: the foreign key refuses it
    return new;
end
$$;
create trigger deliveries_rank before insert on guard.deliveries
    for each row execute function guard.rank_delivery();

create index deliveries_undecided on guard.deliveries (channel, severity_rank desc, next_attempt_at, alert_id)
    where status = 'pending' and message_id is null;
create index deliveries_collected on guard.deliveries (channel, next_attempt_at, alert_id)
    where status = 'grouped' and message_id is null;
create index deliveries_on_their_way
    on guard.deliveries (channel, (attempts > 0), severity_rank, next_attempt_at, message_id)
    where status in ('pending', 'grouped') and message_id is not null;
create index deliveries_alone on guard.deliveries (channel, severity_rank, first_attempt_at)
    where message_id = alert_id;
