"""What every model of the wire shares: strictness, and the way to and from Avro's dictionaries."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, Strict

Long = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""Avro's long: a signed whole number of 64 bits."""

LIST = Strict(strict=False)
"""Avro's arrays decode to lists; a frozen model keeps them as tuples. Items stay strict."""


class WireModel(BaseModel):
    """A record of the wire. Building one raises ValidationError naming each field that is wrong."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def from_avro(cls, record: Mapping[str, Any]) -> Self:
        """The model of a record that `schemas.codec.decode` gave."""
        return cls.model_validate(dict(record))

    def to_avro(self) -> dict[str, Any]:
        """The record for `schemas.codec.encode`."""
        return self.model_dump()
