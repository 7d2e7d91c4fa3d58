"""ACLs and passwords of Kafka's users: made as wanted, nothing else of the cluster touched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from runtime.errors import InfrastructureError

_REQUEST_S = 30
_ITERATIONS = 8192
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}


@dataclass(frozen=True, order=True)
class Right:
    """A user may do this: resource topic, group or transactional_id; pattern literal or prefixed."""

    user: str
    resource: str
    name: str
    pattern: str
    operation: str

    def sentence(self) -> str:
        """Say it to a person."""
        shown = self.name + ("*" if self.pattern == "prefixed" else "")
        return f"{self.user}: {self.operation} {self.resource} {shown}"


@dataclass(frozen=True)
class Plan:
    """What a cluster lacks, and what its users have beyond what is wanted."""

    missing: list[Right]
    surplus: list[Right]


def plan(admin: AdminClient, wanted: Iterable[Right], prefix: str = "") -> Plan:
    """Compare the wanted rights with those that their users have to what carries the prefix.

    Other users are not looked at.

    Raises:
        InfrastructureError: the cluster does not answer, or has no authorizer.
    """
    rights = set(wanted)
    users = {right.user for right in rights}
    found: set[Right] = set()
    try:
        for binding in admin.describe_acls(_any(), request_timeout=_REQUEST_S).result():
            user = binding.principal.removeprefix("User:")
            if user in users:
                found.add(
                    Right(
                        user,
                        binding.restype.name.lower(),
                        binding.name,
                        binding.resource_pattern_type.name.lower(),
                        binding.operation.name.lower()
                        if binding.permission_type is AclPermissionType.ALLOW
                        else f"never {binding.operation.name.lower()}",
                    )
                )
    except KafkaException as error:
        raise InfrastructureError(f"the cluster's ACLs cannot be read: {error}") from error
    return Plan(sorted(rights - found), sorted(right for right in found - rights if _concerns(right, prefix)))


def _concerns(right: Right, prefix: str) -> bool:
    """Whether it is one to something that carries the prefix, or may."""
    wide = right.name == "*" or (right.pattern == "prefixed" and prefix.startswith(right.name))
    return wide or right.name.startswith(prefix)


def grant(admin: AdminClient, rights: Sequence[Right]) -> None:
    """Give these rights.

    Raises:
        InfrastructureError: the cluster refused one, or does not answer.
    """
    if not rights:
        return
    bindings = [
        AclBinding(
            _RESOURCES[right.resource],
            right.name,
            ResourcePatternType[right.pattern.upper()],
            f"User:{right.user}",
            "*",
            AclOperation[right.operation.upper()],
            AclPermissionType.ALLOW,
        )
        for right in rights
    ]
    try:
        for future in admin.create_acls(bindings, request_timeout=_REQUEST_S).values():
            future.result()
    except KafkaException as error:
        raise InfrastructureError(f"ACLs cannot be made: {error}") from error


def set_password(admin: AdminClient, user: str, password: str) -> None:
    """Give a user a password (SCRAM-SHA-512); the old one is refused from the next connection on.

    Raises:
        InfrastructureError: the cluster refused it, or does not answer.
    """
    change = UserScramCredentialUpsertion(
        user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS), password.encode()
    )
    try:
        for future in admin.alter_user_scram_credentials([change], request_timeout=_REQUEST_S).values():
            future.result()
    except KafkaException as error:
        raise InfrastructureError(f"the password of {user} cannot be set: {error}") from error


def _any() -> AclBindingFilter:
    every: Any = None  # what the library takes for "whatever it is", and its type information does not know
    return AclBindingFilter(
        ResourceType.ANY,
        every,
        ResourcePatternType.ANY,
        every,
        every,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
