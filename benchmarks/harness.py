"""What every benchmark shares: options, fair timing, peak memory in a process of its own, and its section.

    python benchmarks/NAME.py [--quick] [--write] [--threads N] [--OPTION VALUE]

Each script names its section, its options with a full and a quick value, and a function that measures and
returns Markdown. `--quick` is a small run that shows that the script works; `--write` puts the section into
its page of docs/ between `<!-- begin SECTION -->` and `<!-- end SECTION -->`, with the command and the
machine, so that each figure there was put there by its command.
"""

import argparse
import multiprocessing
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # for what a benchmark takes of workflow_scripts and demo_data
_left_out: list[str] = []


def benchmark(
    measure: Callable[[argparse.Namespace], str],
    section: str,
    title: str = "",
    options: Mapping[str, tuple[Any, Any]] | None = None,
    page: str = "performance.md",
    by_threads: bool = False,
    threads: int = 1,
) -> None:
    """The command line of a benchmark: measures, prints the section and, with --write, puts it into `page`.

    `options`: name -> (value, value with --quick); a list takes several values, False is a switch.
    `title`: Markdown heading with its #; without one the page keeps its own text around the section, and the
    Markdown is written as it is. `by_threads`: each number of threads has a section of its own.
    """
    script = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, which only show that it works")
    parser.add_argument("--write", action="store_true", help=f"replace the section of docs/{page}")
    parser.add_argument("--threads", type=int, default=threads)
    for name, (full, quick) in (options or {}).items():
        kind: dict[str, Any] = {"type": type(full), "help": f"{full}; quick: {quick}"}
        if isinstance(full, bool):
            kind = {"action": "store_true"}
        elif isinstance(full, list):
            kind |= {"type": type(full[0]), "nargs": "+"}
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, **kind)
    arguments = parser.parse_args()
    if arguments.quick and arguments.write:
        parser.error("--quick measures nothing worth writing")
    _use_threads(arguments.threads)
    command = f"python benchmarks/{script}"
    command += f" --threads {arguments.threads}" if by_threads or arguments.threads != threads else ""
    for name, (full, quick) in (options or {}).items():
        given = getattr(arguments, name)
        if given is None:
            setattr(arguments, name, quick if arguments.quick else full)
        elif given != full:
            values = [] if given is True else given if isinstance(given, list) else [given]
            command += " ".join([f" --{name.replace('_', '-')}", *map(str, values)])
    markdown = measure(arguments).strip()
    if by_threads:
        section += f"-{arguments.threads}"
        title += f", {arguments.threads} thread{'s' * (arguments.threads > 1)}"
    if title:
        markdown = f"{title}\n\n{markdown}\n\n`{command} --write` on {machine()}."
    print(f"<!-- begin {section} -->\n{markdown}\n<!-- end {section} -->")
    if arguments.write:
        if _left_out:
            raise SystemExit(f"not written: {', '.join(_left_out)} took no part")
        write_section(section, markdown, page)


def _use_threads(threads: int) -> None:
    """Starts the script anew unless the libraries' own variables say `threads`: they read them once."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    processor = Path("/proc/cpuinfo")
    # The OpenBLAS in faiss's wheel takes processors newer than itself for ones without AVX.
    if processor.exists() and "avx512f" in processor.read_text():
        wanted["OPENBLAS_CORETYPE"] = os.environ.get("OPENBLAS_CORETYPE", "SkylakeX")
    if wanted.items() - os.environ.items():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def installed(*peers: str) -> bool:
    """Whether all of `peers` are; those that are not are told, and their section cannot be written."""
    missing = [peer for peer in peers if find_spec(peer) is None]
    _left_out.extend(missing)
    for peer in missing:
        print(f"{peer} is left out: pip install -e '.[parity]'", file=sys.stderr)
    return not missing


def clock(threads: int) -> tuple[Callable[[], float], str]:
    """The clock and its name: CPU time on one thread (deaf to other processes), wall time on more."""
    return (time.process_time, "CPU time") if threads == 1 else (time.perf_counter, "wall time")


def take_turns(
    entrants: Mapping[Any, Callable[[], object]], threads: int = 1, repeats: int = 3, warm: bool = True
) -> dict[Any, list[float]]:
    """Name -> seconds of each repeat; within a repeat everybody runs once, so that whatever else the machine
    does falls on all alike. `warm`: one repeat more comes first, unmeasured (kernels are compiled)."""
    now, _ = clock(threads)
    seconds: dict[Any, list[float]] = {name: [] for name in entrants}
    for repeat in range(repeats + warm):
        for name, run in entrants.items():
            begin = now()
            run()
            if repeat >= warm:
                seconds[name].append(now() - begin)
    return seconds


def ratios(peer: list[float], ours: list[float]) -> list[float]:
    """Of each repeat."""
    return [theirs / own for theirs, own in zip(peer, ours, strict=True)]


def ratio(peer: list[float], ours: list[float], digits: int = 1) -> str:
    """`median x (least-greatest)` of the ratios within each repeat."""
    each = ratios(peer, ours)
    return f"{statistics.median(each):.{digits}f}x ({min(each):.{digits}f}-{max(each):.{digits}f})"


class Alone(NamedTuple):
    """What work took in a process of its own."""

    value: Any
    """Of the last call."""
    seconds: list[float]
    """CPU time of each call."""
    before: float
    """MiB, resident when the first call began."""
    peak: float
    """MiB, largest resident set from then on, mapped files included."""


def alone(prepare: Callable[..., Callable[[], Any]], *arguments: Any, repeats: int = 1) -> Alone:
    """Measures the call that `prepare(*arguments)` returns, in a fresh process.

    `prepare` is a function of the script's top level; what it does (inputs, a first small call) is not
    measured.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_alone, prepare, arguments, repeats).result()


def _alone(prepare: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...], repeats: int) -> Alone:
    work, seconds, value = prepare(*arguments), [], None
    Path("/proc/self/clear_refs").write_text("5")  # the largest resident set counts from here
    before = _resident("VmRSS")
    for _ in range(repeats):
        begin = time.process_time()
        value = work()
        seconds.append(time.process_time() - begin)
    return Alone(value, seconds, before, _resident("VmHWM"))


def _resident(kind: str) -> float:
    """MiB."""
    return int(re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; `header`: its columns, parted by ` | `. Rows are told as they come."""
    lines = [f"| {header} |", "|---" * len(header.split("|")) + "|"]
    for row in rows:
        lines.append(f"| {' | '.join(map(str, row))} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def machine() -> str:
    """One line that names the processor, the usable cores and the versions that matter for speed."""
    model, processors = platform.processor() or "unknown CPU", Path("/proc/cpuinfo")
    if processors.exists():
        named = re.search(r"^model name\s*: (.*)$", processors.read_text(), re.MULTILINE)
        model = named[1].strip() if named else model
    cores = f"{len(os.sched_getaffinity(0))} usable cores"
    used = [f"{n} {sys.modules[n].__version__}" for n in ("torch", "numpy", "numba") if n in sys.modules]
    return ", ".join([model, cores, f"Python {platform.python_version()}", *used])


def write_section(name: str, markdown: str, page: str = "performance.md") -> None:
    """Replaces (or appends) the section `name` of docs/`page`; the rest of the file is kept."""
    from spd.files import atomic_write

    path, begin, end = ROOT / "docs" / page, f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text, section = path.read_text(), f"{begin}\n{markdown.strip()}\n{end}"
    if begin in text:
        text = re.sub(re.escape(begin) + r".*?" + re.escape(end), lambda _: section, text, flags=re.DOTALL)
    else:
        text = text.rstrip() + "\n\n" + section + "\n"
    atomic_write(path, text)
