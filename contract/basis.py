"""The version profile that a host is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from dify_wire.profile import Profile, nearest_recorded, profile_of


@dataclass(frozen=True, slots=True)
class Basis:
    """``stated`` is the version that the host says it is, "" where it says none; ``given`` the one
    that the user wants it to be compared with, if any.
    """

    stated: str = ""
    given: str | None = None

    @property
    def version(self) -> str:
        return self.given or nearest_recorded(self.stated)

    @property
    def profile(self) -> Profile:
        return profile_of(self.version)

    @property
    def is_exact(self) -> bool:
        """Whether the host has to do all that the profile says: it is of that version, or the user
        says that it should be. Else a difference may be one between versions.
        """
        return self.given is not None or self.stated == self.version

    @property
    def sentence(self) -> str:
        """Which profile it is, and why that one."""
        if self.given is not None:
            return f"compared with Dify {self.version} (--host-version)"
        if self.is_exact:
            return f"compared with Dify {self.version}, which the host says it is"
        reason = f"{self.stated} was not recorded" if self.stated else "the host states no version"
        nearest = "the nearest older recorded version" if self.stated else "the reference"
        return f"compared with Dify {self.version}, {nearest}: {reason}"
