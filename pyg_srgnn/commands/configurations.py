"""Where Hydra finds configurations: this package's, and those of packages that add to it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

from pyg_srgnn.sweeps.overrides import FileConfigSource
from pyg_srgnn.utils.packages import conf_folders

_PACKAGE = Path(__file__).parents[1]
# In a wheel the configurations lie in the package, in a checkout beside it.
CONF = next(
    folder
    for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf")
    if (folder / "train.yaml").is_file()
)


class PackagesSource(ConfigSource):
    """The folders ``conf`` of the packages that add datasets, models, baselines or encoders.

    They extend the groups of this package, and are looked for when Hydra wants an option that is
    not there, or all options of a group.
    """

    @staticmethod
    def scheme() -> str:
        """What a path in Hydra's search path begins with."""
        return "srgnn"

    @cached_property
    def _folders(self) -> list[FileConfigSource]:
        return [FileConfigSource(package, str(folder)) for package, folder in conf_folders()]

    def available(self) -> bool:
        """Whether it can be looked for configurations."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a configuration from the first package that has it."""
        for folder in self._folders:
            if folder.is_config(config_path):
                return folder.load_config(config_path)
        raise ConfigLoadError(f"Config not found: {config_path}")

    def is_group(self, config_path: str) -> bool:
        """Whether this package has such a group; Hydra asks this of every key."""
        return Path(CONF, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Whether a package has an option of a group; Hydra's own groups are not extended."""
        group, name = config_path.split("/")[0], config_path.split("/")[-1]
        # Hydra calls a choice of null None. What goes with an option of ours, such as
        # dataset/training/click_log, is in no other package either.
        if group in ("hydra", name) or name == "None" or (CONF / group / f"{name}.yaml").is_file():
            return False
        return any(folder.is_config(config_path) for folder in self._folders)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """All options of a group."""
        found = [
            folder.list(config_path, results_filter)
            for folder in self._folders
            if folder.is_group(config_path)
        ]
        return sorted({option for options in found for option in options})


class PackagesSearchPath(SearchPathPlugin):
    """Adds :class:`PackagesSource` to the search path of this package's commands."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add it behind this package's configurations, which come first."""
        own = {str(CONF), f"file://{CONF}"}
        if any(element.path in own for element in search_path.get_path()):
            search_path.append("packages", f"{PackagesSource.scheme()}://")
