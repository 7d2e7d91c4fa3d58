"""RocksDB as the local state uses it."""

from rocksdict import BlockBasedOptions, Cache, Options, Rdict


def table_options(cache: Cache) -> Options:
    """Options of a database or column family: raw bytes, small buffers, the shared block cache."""
    options = Options(raw_mode=True)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(8 << 20)
    options.set_max_write_buffer_number(2)
    options.create_if_missing(create_if_missing=True)
    return options


def keys_of(family: Rdict | None) -> list[bytes]:
    """Every key of a family."""
    return [] if family is None else [key_bytes(key) for key in family.keys()]  # noqa: SIM118 - not a dict


def key_bytes(key: object) -> bytes:
    """A key of a raw database is bytes, whatever the library's annotation allows."""
    if not isinstance(key, bytes):
        raise TypeError(f"state key {key!r} is {type(key).__name__}, not bytes")
    return key
