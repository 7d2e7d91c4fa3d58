-- The rate book in parts: a version is the hash of a tree of immutable parts, so that versions share what they
-- have in common and a rater loads what it rates with. A part is named by its SHA-256; the hashes of its
-- children stand in its body, so the root's hash commits to every rate. Versions stored before keep their text.
create table rate_book.parts (
    hash  bytea  primary key,
    body  text   not null,
    check (hash = sha256(convert_to(body, 'UTF8')))
);

comment on table rate_book.parts is 'Parts of rate book versions, named by their content: append only, see docs/reference/rate-book.md';

create or replace function rate_book.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rate_book.% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create trigger parts_no_change before update or delete on rate_book.parts
    for each row execute function rate_book.refuse_change();
create trigger parts_no_truncate before truncate on rate_book.parts
    for each statement execute function rate_book.refuse_change();
revoke update, delete, truncate on rate_book.parts from public;

alter table rate_book.versions
    drop constraint versions_check,  -- that of the hash
    alter column content drop not null,
    add column root bytea references rate_book.parts (hash),
    add constraint versions_one_form check ((content is null) <> (root is null)),
    add constraint versions_content_hash_check
        check (content_hash = encode(coalesce(root, sha256(convert_to(content, 'UTF8'))), 'hex'));
