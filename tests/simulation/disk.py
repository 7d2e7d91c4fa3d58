"""RocksDB as the services use it, in memory: what a process leaves behind when it dies."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Families = dict[str, dict[bytes, bytes]]


class Disk:
    """Databases by path; `lost` and `put back` are what a disk does to a process that has died."""

    now: "Disk"
    """Of the world that runs: a database is opened by its path alone."""

    def __init__(self) -> None:
        self.databases: dict[str, Families] = {}
        self.copies: dict[str, Families] = {}

    def copy(self, path: str) -> None:
        """Remember how a database is now."""
        self.copies[path] = {name: dict(family) for name, family in self.databases[path].items()}

    def remove(self, path: "SimPath") -> None:
        """shutil.rmtree."""
        self.databases.pop(str(path), None)


class SimPath:
    """As much of a pathlib.Path as the local state asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __truediv__(self, name: str) -> "SimPath":
        return SimPath(f"{self._name}/{name}")

    def __str__(self) -> str:
        return self._name

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Nothing: a directory is there when something is in it."""

    def exists(self) -> bool:
        return self._name.removesuffix("/CURRENT") in Disk.now.databases


class Family:
    """A column family, or the default one; keys come in order."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values

    def get(self, key: Any) -> Any:
        if isinstance(key, list):
            return [self._values.get(one) for one in key]
        return self._values.get(key)

    def keys(self) -> list[bytes]:
        return sorted(self._values)

    def items(self, *, from_key: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, value) for key, value in sorted(self._values.items()) if key >= from_key])


class SimBatch:
    """rocksdict.WriteBatch: all of it or nothing."""

    def __init__(self, *, raw_mode: bool) -> None:
        self.writes: list[tuple[str, bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes, handle: str = "default") -> None:
        self.writes.append((handle, key, value))

    def delete(self, key: bytes, handle: str = "default") -> None:
        self.writes.append((handle, key, None))


class SimRdict(Family):
    """rocksdict.Rdict."""

    def __init__(self, path: str, _options: object = None, *, column_families: Iterable[str] = ()) -> None:
        families = Disk.now.databases.setdefault(path, {"default": {}})
        for name in column_families:
            families.setdefault(name, {})
        self._path = path
        self._families = families
        super().__init__(families["default"])

    @staticmethod
    def list_cf(path: str) -> Sequence[str]:
        return sorted(Disk.now.databases[path])

    def get_column_family(self, name: str) -> Family:
        return Family(self._families[name])

    def get_column_family_handle(self, name: str) -> str:
        return name

    def create_column_family(self, name: str, _options: object) -> Family:
        self._families[name] = {}
        return Family(self._families[name])

    def drop_column_family(self, name: str) -> None:
        del self._families[name]

    def put(self, key: bytes, value: bytes) -> None:
        self._values[key] = value

    def write(self, batch: SimBatch) -> None:
        for handle, key, value in batch.writes:
            family = self._families[handle]
            if value is None:
                family.pop(key, None)
            else:
                family[key] = value

    def close(self) -> None:
        """What was written is there for whoever opens it next."""


class SimOptions:
    """Options are of no account here."""

    def create_missing_column_families(self, *, create_missing_cfs: bool) -> None: ...


def table_options(_cache: object) -> SimOptions:
    """rater.adapters.rocks.table_options."""
    return SimOptions()
