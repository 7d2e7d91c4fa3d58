"""`ratestream topics password`: give a principal a new password at Kafka, without showing it to anyone."""

from pathlib import Path

import click

from runtime.errors import UsageProblemError
from runtime.kafka.access import set_password
from runtime.kafka.admin import admin_client
from runtime.settings import KafkaSettings, SettingsLoader
from schemas.access import ADMIN, PRINCIPALS

_LEAST = 16  # characters


@click.command("password")
@click.argument("user", type=click.Choice([*(each.name for each in PRINCIPALS), ADMIN]))
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="What holds the new password; white space around it does not count.",
)
def topics_password(*, user: str, path: Path) -> None:
    """Give a principal a new password at Kafka (SCRAM-SHA-512), as the administrator.

    Connections that are open go on; new ones need the new password from now on. Write it to the part's file,
    then restart its processes one after the other.

    Example: ratestream topics password rater --file new.password
    """
    password = _read(path)
    set_password(admin_client(SettingsLoader.of_process().section("kafka", KafkaSettings)), user, password)
    click.echo(
        f"{user} has a new password at Kafka: write it to its file, then restart its processes one by one"
    )


def _read(path: Path) -> str:
    """The password. Raises UsageProblemError: it is none that every part would read back as it is."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"--file {path}: must be UTF-8 text") from error
    if len(text) < _LEAST or not text.isprintable():
        raise UsageProblemError(f"--file {path}: must hold one line of at least {_LEAST} characters")
    return text
