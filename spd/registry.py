"""Classes by a short name, or by the import path of one of the user's own: `mypackage.byol:BYOL`.

A registry is plain data: what the configuration asks (options, label) is known without the class, which is
imported where it is used. Imports no torch.
"""

import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spd.options import Options


@dataclass(frozen=True)
class Entry:
    """One method or detector."""

    path: str
    """`module:Class`. A stage that uses it hashes the module, too
    (workflow_scripts.common.provenance.source_hash)."""
    options: type[Options]
    """What config.yaml may say of it."""
    label: str = ""
    """The name in tables and results; a method has its row's."""
    setup: str = ""
    """Of a detector: `1cls`, or `2cls` for both 2-class setups."""
    tasks: tuple[str, ...] = ()
    """Of a detector: `classification`, `segmentation`, or both."""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Profiles whose name means something in a table: the options in which each differs from the defaults.
    Tables say where a config lays something over them, and publish nothing beside it."""

    def load(self) -> type:
        """The class."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True, eq=False)
class Registry(Mapping[str, Entry]):
    """The entries that come with the library, and those of the user's own by their import path.

    Iterates over the former alone. Raises ValueError for a name that is neither, and for an import path that
    cannot be imported, has no such class, or whose class lacks a hook.
    """

    kind: str
    """`method`, `detector`: for messages."""
    bases: tuple[str, ...]
    """Base classes, `module:Class`: one of them is the class's."""
    entries: Mapping[str, Entry]
    own: dict[str, Entry] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Entry:
        if name in self.entries:
            return self.entries[name]
        if ":" not in name:
            near = difflib.get_close_matches(name, self.entries, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"no {self.kind} named {name!r}{hint}; {self._known()}")
        if name not in self.own:
            try:
                self.own[name] = self._entry(name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}; {self._known()}") from error
        return self.own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def checked(self, name: str) -> str:
        """`name`, if there is such an entry; a validator of options models."""
        self[name]
        return name

    def _known(self) -> str:
        example = f"mypackage.mymodule:My{self.kind.capitalize()}"
        return f"there are {', '.join(self.entries)}, and your own by their import path, as {example}"

    def _entry(self, path: str) -> Entry:
        cls = _imported(path)
        bases = map(_imported, self.bases)  # the next one only where the first is not it: some import torch
        base = next((one for one in bases if isinstance(cls, type) and issubclass(cls, one)), None)
        if base is None:
            raise ValueError(f"it is no subclass of {' or '.join(self.bases).replace(':', '.')}")
        if missing := [name for name in base.REQUIRED if getattr(cls, name) is getattr(base, name)]:
            raise ValueError(f"the class lacks {', '.join(missing)}, which each {self.kind} defines")
        if not (isinstance(cls.Options, type) and issubclass(cls.Options, base.Options)):
            raise ValueError(
                f"its Options are no subclass of {base.Options.__module__}.{base.Options.__name__}"
            )
        fields = cls.Options.model_fields.items()
        if needed := [key for key, value in fields if value.is_required() and key != self.kind]:
            raise ValueError(f"its Options have no default for {', '.join(needed)}; give each key one")
        label, tasks = getattr(cls, "label", "") or cls.__name__, getattr(cls, "tasks", ())
        if set(tasks) - {"classification", "segmentation"}:
            raise ValueError(f"its tasks are {tasks!r}; there are classification and segmentation")
        return Entry(path, cls.Options, label, getattr(cls, "setup", ""), tasks)


def look_in_working_directory() -> None:
    """Lets Python import what lies there: the scripts of a workflow lie elsewhere. Installed packages come
    first."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _imported(path: str) -> Any:
    """What an import path names."""
    look_in_working_directory()
    module, _, name = path.partition(":")
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # whatever a module of the user's own raises
        what = (
            f"{type(error).__name__}: {error} (looked for in {Path.cwd()} and among the installed packages)"
        )
        raise ValueError(f"the module {module!r} cannot be imported: {what}") from error
    if not hasattr(loaded, name):
        classes = [key for key, value in vars(loaded).items() if getattr(value, "__module__", "") == module]
        has = f"it has {', '.join(classes)}" if classes else "it defines nothing"
        raise ValueError(f"the module {module!r} has no {name or 'class named after the colon'}; {has}")
    return getattr(loaded, name)
