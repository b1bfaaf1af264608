"""Hostile input: a hand-made corpus, then seeded mutants of sound files, each read in a process with limits.

    python tests/hostile/fuzz.py --mutants 2000

Prints a table, and each case in which code ran, time or memory ran out, something passed silently, or the
message was not one line with the path; ends with status 1 if there is one.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from inputs import CSV, IDENTITY, Case, corpus, seeds, weights
from judge import Verdict, judge, warm_up
from mutations import mutate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "drills"))

from runs import publish

SHARES = {"archive": 4, "image": 5, "mask": 2, "csv": 3, "annotations": 1, "manifest": 1, "config": 3,
          "safetensors": 3, "pth": 4, "checkpoint": 1}  # fmt: skip


def mutants(count: int, seed: int):
    """`count` (Case, sound original), the same ones for the same seed."""
    sound = dict(seeds())
    sound["annotations"] = [("image_anno.csv", b"image,label,mask\nc.png,scratch,c_mask.png\n")]
    sound["manifest"] = _manifest_files()
    sound["checkpoint"] = [("seed0.checkpoint", _training_checkpoint())]
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    for i in range(count):
        draw = random.Random(f"{seed} {i}")
        kind = kinds[i % len(kinds)]
        name, content = draw.choice(sound[kind])
        like = {"annotations": "csv", "manifest": "csv", "checkpoint": "pth"}.get(kind, kind)
        yield Case(kind, name, mutate(like, name, content, draw), None), content


def _manifest_files() -> list[tuple[str, bytes]]:
    from spd.data import manifest
    from spd.data.readers import split_csv

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sound.csv").write_text(CSV)
        manifest.write(split_csv.read(folder, csv="sound.csv"), Path(folder) / "manifest.csv")
        # The folder's name would differ from run to run.
        sidecar = json.loads((Path(folder) / "manifest.json").read_text()) | {"root": "data"}
        return [
            ("manifest.csv", (Path(folder) / "manifest.csv").read_bytes()),
            ("manifest.json", json.dumps(sidecar, indent=2, sort_keys=True).encode()),
        ]


def _training_checkpoint() -> bytes:
    from spd.training.checkpoint import save

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed0.checkpoint"
        save(path, identity=IDENTITY, step=3, model=weights(), history=[{"step": 3, "loss": 0.5}])
        return path.read_bytes()


def wrong(case: Case, verdict: Verdict, canary: Path) -> str | None:
    """What is wrong with a verdict, or None."""
    if canary.exists():
        canary.unlink()
        return "code of the file ran"
    if not verdict.sound:
        return f"{verdict.outcome}: {verdict.text}"
    if case.expected is not None and verdict.outcome != case.expected:
        return f"{verdict.outcome} instead of {case.expected}: {verdict.text}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", help="only this kind")
    parser.add_argument("--write", action="store_true", help="write the table into docs/trust.md")
    parser.add_argument("--show", action="store_true", help="print every refusal")
    options = parser.parse_args()
    # A forked child of a process whose libraries have threads may wait for one of them for ever.
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(prefix="hostile-"))
    canary = work / "canary"
    warm_up(work / "warm")
    began = time.monotonic()
    counts: Counter = Counter()
    slowest, largest, bad = 0.0, 0.0, 0
    made = [(case, None) for case in corpus(str(canary))]
    for place, group in (("corpus", made), ("mutants", mutants(options.mutants, options.seed))):
        for i, (case, original) in enumerate(group):
            if options.kind not in (None, case.kind):
                continue
            folder = work / "case"
            shutil.rmtree(folder, ignore_errors=True)
            verdict = judge(case.kind, case.name, case.content, folder, original)
            problem = wrong(case, verdict, canary)
            counts[case.kind, place, verdict.outcome if problem is None else "WRONG"] += 1
            slowest, largest = max(slowest, verdict.seconds), max(largest, verdict.megabytes)
            if problem is not None:
                bad += 1
                print(f"WRONG {place} {i} {case.kind} {case.name}: {problem[:700]}", flush=True)
            elif options.show and verdict.outcome == "refused":
                print(f"{case.kind} {case.name}: {verdict.text}")
    shutil.rmtree(work)
    text = [
        "| kind | hand-made: read | refused | mutants: read | refused | wrong |",
        "|---|---|---|---|---|---|",
    ]
    for kind in SHARES:
        row = [counts[kind, place, what] for place in ("corpus", "mutants") for what in ("read", "refused")]
        wrongs = sum(counts[kind, place, "WRONG"] for place in ("corpus", "mutants"))
        text.append(f"| {kind} | {' | '.join(map(str, row))} | {wrongs} |")
    text.append("")
    text.append(
        f"{sum(counts.values())} files in {time.monotonic() - began:.0f} s, seed {options.seed}; slowest "
        f"{slowest:.1f} s, most memory {largest:.0f} MB; {bad} wrong"
    )
    publish(
        "fuzz", "\n".join(text), f"python tests/hostile/fuzz.py --mutants {options.mutants}", options.write
    )
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
