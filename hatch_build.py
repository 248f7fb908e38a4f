"""What the build adds to a wheel: the terminal's catalogues compiled (`.mo`), the same bytes each time."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPILER = "promomsg/cli/language/po_file.py"


class CatalogueHook(BuildHookInterface):
    """Puts a `.mo` beside each `.po`, in the wheel alone: a source tree has none that could be old."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the wheel is written; an editable one has nothing in it."""
        if version == "editable":
            return
        root = Path(self.root)
        # By its path: the package is not installed while it is built.
        spec = importlib.util.spec_from_file_location("po_file", root / _COMPILER)
        assert spec is not None
        assert spec.loader is not None
        po_file = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(po_file)
        self._folder = tempfile.TemporaryDirectory()
        for number, source in enumerate(
            sorted(root.glob("promomsg/cli/locale/*/LC_MESSAGES/*.po"))
        ):
            compiled = Path(self._folder.name) / f"{number}.mo"
            compiled.write_bytes(po_file.compile_po(source.read_text(encoding="utf-8")))
            inside = source.relative_to(root).with_suffix(".mo").as_posix()
            build_data["force_include"][str(compiled)] = inside

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called once the wheel is there."""
        if version != "editable":
            self._folder.cleanup()
