"""Why a record cannot be rated."""


class Reject(Exception):
    """The record goes to usage.rejected with a reason code of schemas/reasons.py and one sentence."""

    def __init__(self, reason: str, field: str | None, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field
        self.detail = detail
