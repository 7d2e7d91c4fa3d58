-- The rate book: immutable, totally ordered versions. A change appends; nothing is ever altered.
-- Money and quantities in any table of this database are numeric(38,18); this one keeps the book as the exact text
-- that its hash is taken of.
create schema rate_book;

create table rate_book.versions (
    version       bigint      primary key check (version > 0),
    content       text        not null,
    content_hash  text        not null check (content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex')),
    author        text        not null check (author <> ''),
    recorded_at   timestamptz not null,
    lead_us       bigint      not null check (lead_us >= 0),
    in_force_us   bigint,     -- first instant at which an answer differs from the version before; null: at every instant
    retroactive   boolean     not null,
    touches       text        not null  -- JSON list of what the change touches: {what, id, from_us}
);

comment on table rate_book.versions is 'Rate book versions 1, 2, 3 ...: append only, see docs/reference/rate-book.md';

create function rate_book.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rate_book.versions is append-only: % refused', tg_op using errcode = 'restrict_violation';
end
$$;

create trigger versions_no_change before update or delete on rate_book.versions
    for each row execute function rate_book.refuse_change();
create trigger versions_no_truncate before truncate on rate_book.versions
    for each statement execute function rate_book.refuse_change();

create function rate_book.check_order() returns trigger language plpgsql as $$
declare
    last record;
begin
    select version, recorded_at into last from rate_book.versions order by version desc limit 1;
    if new.version <> coalesce(last.version, 0) + 1 then
        raise exception 'rate_book.versions: version % does not follow %', new.version, coalesce(last.version, 0)
            using errcode = 'restrict_violation';
    end if;
    if new.recorded_at < last.recorded_at then
        raise exception 'rate_book.versions: recorded_at % is before that of version %', new.recorded_at, last.version
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger versions_in_order before insert on rate_book.versions
    for each row execute function rate_book.check_order();

revoke update, delete, truncate on rate_book.versions from public;
