"""Puts the parts of a frame together again."""

from dataclasses import dataclass, field


class PartsError(Exception):
    """Parts do not follow each other as a transaction of the rater writes them."""

    exit_code = 3  # of the process: see runtime.errors


@dataclass(slots=True)
class Parts:
    """One partition's parts; a frame comes out when its last part goes in.

    Whoever begins to read in the middle of a frame, or after one whose first parts were deleted, skips it.
    """

    _frame_no: int | None = None
    _chunks: list[bytes] = field(default_factory=list)

    def add(self, frame_no: int, part_no: int, part_count: int, chunk: bytes) -> bytes | None:
        """The whole frame's bytes, or None while parts are missing.

        Raises:
            PartsError: a part is out of order.
        """
        if part_no == 0:
            if self._chunks:
                raise PartsError(f"frame {frame_no} begins before frame {self._frame_no} is complete")
            self._frame_no = frame_no
        elif self._frame_no is None:
            return None
        if frame_no != self._frame_no or part_no != len(self._chunks):
            raise PartsError(
                f"part {part_no} of frame {frame_no} follows part {len(self._chunks) - 1} "
                f"of frame {self._frame_no}"
            )
        self._chunks.append(chunk)
        if len(self._chunks) < part_count:
            return None
        whole, self._chunks, self._frame_no = b"".join(self._chunks), [], None
        return whole
