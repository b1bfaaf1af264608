"""Locks that end with their owner: flock(2) on a file that says who holds it.

The kernel frees them however the owner ends, kill -9 and power loss included, so none is ever stale.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class Held(RuntimeError):
    """Somebody alive holds the lock; `owner` is what they wrote of themselves, {} where it cannot be read."""

    def __init__(self, path: Path, owner: dict[str, Any]):
        self.owner = owner
        super().__init__(f"{path} is held by {name(owner)}")


def name(owner: dict[str, Any]) -> str:
    """`process 123 on host a since ...`: an owner in words."""
    if not owner:
        return "another process"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.get("since", 0)))
    return f"process {owner.get('pid')} on {owner.get('host')} since {since}"


def acquire(path: str | os.PathLike[str], *, wait: bool = False, **about: Any) -> IO[str] | None:
    """Takes the lock; it is held until the returned file is closed or the process ends.

    wait: until it is free; about: JSON to keep with pid, host and time. Children do not inherit it.
    Returns None on a file system that has no locks. Raises Held.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    patience = 4  # somebody who only asks (`owner`) holds it for a moment
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            owner = _read(file)
            file.close()
            patience -= 1
            if patience:
                time.sleep(0.1)
                continue
            raise Held(path, owner) from None
        except OSError as error:
            file.close()
            if error.errno in _UNSUPPORTED:
                return None
            raise
        # The owner before may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
    file.truncate(0)
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time()), **about}
    file.write(json.dumps(owner))
    file.flush()
    return file


def owner(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bool] | None:
    """(what the last owner wrote, whether it still holds the lock); None where there is no such file, or no
    locks."""
    path = Path(path)
    try:
        with path.open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(file), True
            return _read(file), False
    except OSError:
        return None


@contextlib.contextmanager
def only_one(path: str | os.PathLike[str], waiting: Any = None) -> Iterator[None]:
    """Runs the body while nobody else runs one under the same path, then removes the file.

    waiting: called with a sentence before it waits for somebody.
    """
    path = Path(path)
    try:
        file = acquire(path)
    except Held as held:
        if waiting is not None:
            waiting(f"waits for {name(held.owner)}, which makes the same files")
        file = acquire(path, wait=True)
    try:
        yield
    finally:
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()


def _read(file: IO[str]) -> dict[str, Any]:
    try:
        file.seek(0)
        content = json.loads(file.read())
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}
