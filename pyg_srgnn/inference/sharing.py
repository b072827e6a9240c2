"""Saves a recommender to a folder, and shares it on the Hugging Face hub."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.card import front_matter, shared_card
from pyg_srgnn.inference.manifest import CARD, MANIFEST
from pyg_srgnn.inference.others import README, keep_others
from pyg_srgnn.utils.extras import required_version
from pyg_srgnn.utils.files import folder_written_aside, target_of

if TYPE_CHECKING:
    from pyg_srgnn.checkpoint import Checkpoint

_CONFIG = "config.json"
_CHECKPOINT = ("model.safetensors", _CONFIG)  # beside what an export has, too
_FORMAT = "pyg_srgnn.model"  # of what pyg_srgnn.model_folder writes there
# What is fetched from a hub: no pickles, whatever else lies there.
_FILES = ("*.safetensors", "*.json", "*.md", "encoder.onnx", "encoder.pt2")
_FILES_OF_MEMBERS = tuple(f"member_*/{name}" for name in _FILES)


class Sharing:
    """The methods of :class:`~pyg_srgnn.Recommender` by which models are kept and passed on."""

    trained: Checkpoint | Artifact | None = None
    """The checkpoint or export that it recommends with."""

    _fetched: Any = None  # the folder of a model from a hub, removed with the recommender

    if TYPE_CHECKING:

        @property
        def vocabulary(self) -> Vocabulary:
            """The raw ids of the catalogue."""

        @classmethod
        def load(cls, path: str | Path) -> Self:
            """Open a model."""

    @property
    def preparation(self) -> dict[str, Any] | None:
        """How the sessions of training were made of a click log; None where they were not."""
        return None if self.trained is None else self.trained.preparation

    def save(self, folder: str | Path) -> Path:
        """Write a folder that :meth:`load` opens, of safetensors and JSON, with a card.

        An export is copied, with the encoder that it has, without other files that lie there.

        Args:
            folder: The folder; what an earlier call wrote there is replaced, whole or not at all.
                Other files and folders beside it, such as ``.git``, are kept. Of a link, the
                folder that it points to.

        Raises:
            ValueError: If something else lies there, or has the name of a file of the model; items
                were added that no file has; or a file of the export is not the one that was
                written.
        """
        trained, folder = self.trained, target_of(Path(folder))
        if trained is None:
            raise ValueError("only a recommender that was loaded can be saved")
        if len(self.vocabulary) != len(trained.vocabulary):
            raise ValueError(
                f"{len(self.vocabulary) - len(trained.vocabulary):,} items were added since it was "
                f"loaded; srgnn-export add_items=FILE writes an export that has them"
            )
        if folder.exists() and not _may_be_replaced(folder):
            raise ValueError(f"{folder} is there and holds something else; give another name")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_written_aside(
            folder, folder.with_name(f".{folder.name}.{os.getpid()}.part")
        ) as aside:
            if isinstance(trained, Artifact):
                trained.copy(aside)
                name, path = trained.dataset["name"], aside / CARD
                card = path.read_text(encoding="utf-8") if path.is_file() else f"# {name}\n"
                head = front_matter(card.partition("\n")[0].strip("# "), name)
                (aside / README).write_text(f"{head}\n{card}", encoding="utf-8")
            else:
                trained.save(aside)
                (aside / README).write_text(shared_card(trained), encoding="utf-8")
            keep_others(folder, aside, _CHECKPOINT if _holds_checkpoint(folder) else ())
        return folder

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        token: str | None = None,
        message: str = "Upload a model of pyg_srgnn",
    ) -> str:
        """Save to a repository of the Hugging Face hub, which is made if there is none.

        The files that lie there are replaced, in one commit. The environment variable
        ``HF_ENDPOINT`` names another hub.

        Args:
            repo_id: Such as ``"me/my-shop"``.
            private: Whether a new repository is private. (default: the hub's default)
            revision: The branch. (default: the main one)
            token: A token that may write. (default: the one that ``hf auth login`` keeps)
            message: Message of the commit. (default: ``"Upload a model of pyg_srgnn"``)

        Returns:
            The address of the commit.

        Raises:
            ValueError: See :meth:`save`; or if huggingface_hub is not installed.
        """
        _need_hub("push_to_hub")
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with TemporaryDirectory(prefix="srgnn-") as aside:
            folder = self.save(Path(aside, "model"))
            api.create_repo(repo_id, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                delete_patterns="*",
            )
        return str(done.commit_url)

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
    ) -> Self:
        """Load a model from the Hugging Face hub; nothing in it is executed.

        Safetensors, JSON and the encoder of an export are fetched, and nothing else.

        Args:
            repo_id: Such as ``"me/my-shop"``.
            revision: A branch, tag or commit; a commit is always the same model.
                (default: the main branch)
            token: A token that may read. (default: the one that ``hf auth login`` keeps)
            cache_dir: Where files are kept for later calls. (default: the hub's cache)

        Raises:
            OSError: If there is no such repository, or it cannot be reached.
            ValueError: If it holds no model of this package, a file is damaged, or huggingface_hub
                is not installed.
        """
        _need_hub("from_pretrained")
        from huggingface_hub import snapshot_download

        patterns = [*_FILES, *_FILES_OF_MEMBERS]
        snapshot = snapshot_download(
            repo_id, revision=revision, token=token, cache_dir=cache_dir, allow_patterns=patterns
        )
        # The cache has links to files elsewhere, which loading refuses.
        aside = TemporaryDirectory(prefix="srgnn-")
        folder = shutil.copytree(snapshot, Path(aside.name, "model"))
        if not any((folder / name).is_file() for name in (MANIFEST, _CONFIG)):
            raise ValueError(f"{repo_id} holds no model of pyg_srgnn: it has no {_CONFIG}")
        made = cls.load(folder)
        made._fetched = aside
        return made


def _need_hub(user: str) -> None:
    required_version("huggingface-hub", "hub", user)


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder was written by ``save``, or is empty."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    written = (folder / MANIFEST).is_file() or _holds_checkpoint(folder)
    return written and (folder / README).is_file()


def _holds_checkpoint(folder: Path) -> bool:
    """Whether ``save`` wrote a checkpoint there, and no export."""
    try:
        held = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and held.get("format") == _FORMAT
