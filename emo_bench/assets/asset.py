"""What an asset is: a file or folder of weights or data, its licence, and where it comes from."""

from dataclasses import dataclass

PRIOR = "StyleGAN2 prior"


@dataclass(frozen=True)
class Carrier:
    """A package that brings the file along: `file` is relative to the folder that holds the package.

    `alone`: only the file is wanted, so the package is installed without what it needs to run.
    """

    distribution: str
    file: str
    alone: bool = False

    @property
    def install(self) -> str:
        """What to type to install it."""
        return f"pip install {'--no-deps ' if self.alone else ''}{self.distribution}"

    @property
    def package(self) -> str:
        """Name of the top-level package that `file` lies in."""
        return self.file.split("/", 1)[0]


@dataclass(frozen=True)
class Asset:
    """One catalogued file or folder.

    Attributes:
        file: its name in asset folders and in the cache.
        kind: what it is, in words; `PRIOR` for a prior of Emo-Avatar.
        needed_by: which methods or metrics use it.
        source: who made it.
        size_bytes, sha256: the size and SHA-256 that a file must have; None if its publisher gives none. A folder's
            sha256 is that of the output of `sha256sum` in it, on the sorted files of `holds`.
        size_about: in words, if the exact size is not known.
        urls: addresses of the file, tried in order, or of the folder that holds `files`.
        carriers: packages that bring it along.
        torch_hub: whether torch hub's checkpoint folder may hold it.
        holds: makes it a folder: glob patterns of files, each of which must match.
        files: what to fetch of a folder; `holds` where that has no wildcards.
        bundled: where it lies in our own packages once it ships ("emo_avatar/weights/...").
        made_by: the command that makes it, for what this project trains itself.
        plug_in: the entry point that registers it; "" for ours.
        resolution_px: resolution of a prior.
    """

    name: str
    file: str
    kind: str
    licence: str
    needed_by: tuple[str, ...]
    source: str
    size_bytes: int | None = None
    sha256: str | None = None
    size_about: str = ""
    urls: tuple[str, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    torch_hub: bool = False
    holds: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    bundled: str = ""
    made_by: str = ""
    resolution_px: int | None = None
    plug_in: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder rather than a file."""
        return bool(self.holds)

    def remedy(self) -> str:
        """What to type to get it."""
        ways = [f"emo-bench assets fetch {self.name}"] if self.urls else []
        ways += [carrier.install for carrier in self.carriers]
        ways += [self.made_by] if self.made_by else []
        return " or ".join(ways)
