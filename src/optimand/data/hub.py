"""Text sets of the Hugging Face hub that are already in the cache of the ``datasets`` library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.validation import OptimandError
from .containers import TextData


def hub_text(path: str) -> TextData:
    """The text of ``OWNER/DATASET`` or ``OWNER/DATASET/CONFIG``, rows joined by newlines.

    Splits named ``train``, ``validation`` and ``test`` are kept; a set with ``train`` alone is cut 90/5/5.

    Raises:
        OptimandError: ``datasets`` is missing, the set is not in its cache, or it has no column ``text``.
    """
    try:
        import datasets
    except ImportError as error:
        raise OptimandError(f"data set 'hub:{path}' is read by datasets: pip install 'optimand[hub]'") from error
    pieces = path.split("/")
    name, config = "/".join(pieces[:2]), "/".join(pieces[2:]) or None
    offline = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True  # what is not in the cache is the user's to download
    try:
        loaded = datasets.load_dataset(name, config, download_config=datasets.DownloadConfig(local_files_only=True))
    except Exception as error:  # the library raises many kinds for a set that is not there
        call = ", ".join(repr(part) for part in (name, config) if part)
        raise OptimandError(
            f"data set 'hub:{path}' could not be read from the cache of datasets ({error}); "
            f'to download it: python -c "import datasets; datasets.load_dataset({call})"'
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    parts = {split: _bytes(path, loaded[split]) for split in ("train", "validation", "test") if split in loaded}
    source = f"{path}, read by datasets"
    if set(parts) == {"train"}:
        return TextData.cut(f"hub:{path}", parts["train"], source)
    if len(parts) < 3:
        raise OptimandError(
            f"data set 'hub:{path}' has the splits {', '.join(loaded)}; train, validation and test are needed"
        )
    train, valid, test = (np.frombuffer(parts[s], dtype=np.uint8) for s in ("train", "validation", "test"))
    return TextData(f"hub:{path}", train, valid, test, source)


def _bytes(path: str, rows: Any) -> bytes:
    if "text" not in rows.column_names:
        raise OptimandError(f"data set 'hub:{path}' has no column 'text', only {', '.join(rows.column_names)}")
    column: Iterable[str] = rows["text"]
    return "\n".join(column).encode()
