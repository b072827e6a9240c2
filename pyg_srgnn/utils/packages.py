"""What other packages add by name: entry points, and the folders of their configurations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

_Added = TypeVar("_Added")
GROUPS = (
    "pyg_srgnn.datasets",
    "pyg_srgnn.models",
    "pyg_srgnn.baselines",
    "pyg_srgnn.text_encoders",
)
"""The groups of entry points in which another package names what it adds."""


class PackageError(ValueError):
    """What another package adds cannot be used; names the package, or what it lacks."""


class Registry(dict[str, _Added]):
    """What this package has by name, and what other packages add by entry points.

    It holds this package's own, and what was set, and iterates over these. A name that it does not
    hold is looked up in the installed packages when it is asked for, so that nobody waits for this
    who uses none of them.

    Args:
        key: What has these names on the command line, ``"dataset"`` or ``"model"``. A name of this
            package is not looked up in another registry of the same key.
        group: The group of entry points.
        own: What this package has.
    """

    _own: ClassVar[dict[str, set[str]]] = defaultdict(set)

    def __init__(self, key: str, group: str, own: Mapping[str, _Added]) -> None:
        super().__init__(own)
        self.key, self.group = key, group
        self._own[key].update(own)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a name, here or in an installed package."""
        if super().__contains__(name):
            return True
        elsewhere = not isinstance(name, str) or name in self._own[self.key]
        return not elsewhere and name in names_in(self.group)

    def __missing__(self, name: str) -> _Added:
        """Load what another package adds.

        Raises:
            PackageError: If there is none of this name, or it cannot be loaded.
        """
        found: _Added = load(self.key, self.group, name)
        return found

    def names(self) -> list[str]:
        """All names, those in installed packages last."""
        return list(dict.fromkeys([*self, *names_in(self.group)]))


def names_in(group: str) -> list[str]:
    """The names that installed packages add to a group."""
    return sorted({point.name for point in entry_points(group=group)})


def load(key: str, group: str, name: str) -> Any:
    """Load what an installed package adds to a group by a name.

    Args:
        key: What it is, such as ``"model"``, for errors.
        group: One of :data:`GROUPS`.
        name: Its name.

    Raises:
        PackageError: If no installed package has it, several have, or it cannot be loaded.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise PackageError(
            f"the {key} {name!r} is of a package that is not installed, or has no entry point "
            f"{group}"
        )
    if len(points) > 1:
        several = ", ".join(sorted(map(_package, points)))
        raise PackageError(
            f"the {key} {name!r} is in several packages, {several}; uninstall all but one of them"
        )
    (point,) = points
    try:
        found = point.load()
        if not callable(found):
            raise TypeError(f"{point.value} is no class")
    except Exception as error:  # whatever its code raises when it is imported
        raise PackageError(
            f"the {key} {name!r} is {point.value} of the package {_package(point)}, which cannot "
            f"be loaded ({type(error).__name__}: {error})"
        ) from error
    return found


def _package(point: EntryPoint) -> str:
    """Name and version of the package that has an entry point."""
    return "without a name" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def conf_folders() -> Iterator[tuple[str, Path]]:
    """The folders ``conf`` of the packages that add something, each with the package's name.

    Nothing is imported for it.
    """
    points = entry_points()
    modules = {
        point.module.split(".")[0] for group in GROUPS for point in points.select(group=group)
    }
    for module in sorted(modules):
        spec = find_spec(module)
        for location in (spec.submodule_search_locations or []) if spec is not None else []:
            if (folder := Path(location, "conf")).is_dir():
                yield module, folder
