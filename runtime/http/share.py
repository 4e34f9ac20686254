"""A share of memory that requests take turns with."""

from __future__ import annotations

from collections.abc import Callable


class Lease:
    """Bytes of a share: granted at once, or when it is this lease's turn."""

    __slots__ = ("_on_grant", "_share", "is_granted", "size")

    def __init__(self, share: Share, size: int, on_grant: Callable[[], None]) -> None:
        self._share, self.size, self._on_grant = share, size, on_grant
        self.is_granted = False

    def shrink(self, size: int) -> None:
        """Give back what is more than ``size``."""
        if self.is_granted and size < self.size:
            freed, self.size = self.size - size, size
            self._share.free(freed)

    def release(self) -> None:
        """Give all back, or leave the line. A second call does nothing."""
        if self.is_granted:
            self.is_granted = False
            freed, self.size = self.size, 0
            self._share.free(freed)
        else:
            self._share.forget(self)

    def grant(self) -> None:
        """Tell the holder that it is its turn."""
        self.is_granted = True
        self._on_grant()


class Share:
    """A total that is leased in parts, first come, first served. Belongs to the event loop's thread.

    A lease larger than the total is granted while there is no other.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total = total_bytes
        self.leased = 0
        self._was_used = False
        self._waiting: dict[Lease, None] = {}

    @property
    def is_contended(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def was_emptied(self) -> bool:
        """Whether all that was lent since the last such answer has come back."""
        if self.leased or not self._was_used:
            return False
        self._was_used = False
        return True

    def lease(self, size: int, on_grant: Callable[[], None]) -> Lease:
        """A lease that is granted, or in line. ``on_grant`` is called only for one that had to wait."""
        lease = Lease(self, size, on_grant)
        self._was_used = True
        if not self._waiting and self._fits(size):
            self.leased += size
            lease.is_granted = True
        else:
            self._waiting[lease] = None
        return lease

    def free(self, size: int) -> None:
        """Take bytes back and serve those who wait."""
        self.leased -= size
        self._grant_next()

    def forget(self, lease: Lease) -> None:
        """Remove a lease from the line, if it is there."""
        if self._waiting.pop(lease, self) is None:
            self._grant_next()

    def _grant_next(self) -> None:
        while self._waiting:
            lease = next(iter(self._waiting))
            if not self._fits(lease.size):
                return
            del self._waiting[lease]
            self.leased += lease.size
            lease.grant()

    def _fits(self, size: int) -> bool:
        return not self.leased or self.leased + size <= self.total
