"""What was found in a data set beside what its owners state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from spd.data.manifest import LABELS, SPLITS, Manifest

FACTS = Path(__file__).parent.parent / "facts"
KINDS = [f"{split}_{label}" for split in SPLITS for label in LABELS]
COLUMNS = ("dataset", "setup", "object", "split", "label", "found", "stated")


def stated_counts(facts: Literal["visa", "mvtec"], setup: str) -> pd.DataFrame:
    """Published images per object: columns object, train_normal, train_anomaly, test_normal, test_anomaly.

    visa: the split CSVs of amazon-science/spot-diff, all three setups; mvtec: MVTec-AD, 1cls.
    Raises ValueError for a setup with no published counts.
    """
    if facts == "visa":
        table = pd.read_csv(FACTS / "visa_split_counts.csv")
        table = table[table["setup"] == setup]
    else:
        names = {"train_good": "train_normal", "test_good": "test_normal"}
        table = pd.read_csv(FACTS / "mvtec_counts.csv").rename(columns={"category": "object", **names})
        table = table.assign(train_anomaly=0) if setup == "1cls" else table[:0]
    if table.empty:
        raise ValueError(f"no counts are published for {facts} in the setup {setup}")
    return table[["object", *KINDS]].reset_index(drop=True)


def overview(
    manifest: Manifest, facts: Literal["visa", "mvtec"] | None = None, objects: Sequence[str] | None = None
) -> pd.DataFrame:
    """Found and stated images of one setup: a row per object, split and label, in the columns of `COLUMNS`.

    facts: whose published counts to state (None: `stated` is empty); objects: those that are in use (None:
    all that are stated). `found` is 0 for an object that is stated but missing. Both columns are Int64.
    """
    dataset, setup = manifest.meta.get("dataset", ""), manifest.meta.get("setup", "")
    found = manifest.counts().set_index("object")
    if facts is None:
        stated = pd.DataFrame(index=found.index, columns=KINDS)
    else:
        stated = stated_counts(facts, setup).set_index("object")
        if objects is not None:
            stated = stated[stated.index.isin(objects)]
    index = found.index.union(stated.index)
    found, stated = found.reindex(index, fill_value=0), stated.reindex(index)
    rows = [
        (
            dataset,
            setup,
            name,
            split,
            label,
            found.at[name, f"{split}_{label}"],
            stated.at[name, f"{split}_{label}"],
        )
        for name in index
        for split in SPLITS
        for label in LABELS
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"found": "Int64", "stated": "Int64"})


def totals(table: pd.DataFrame) -> str:
    """One line for an `overview`: `9,621 normal (stated 9,621), 1,200 anomaly (stated 1,200)`."""
    words = []
    for label in LABELS:
        found, stated = (table.loc[table["label"] == label, column] for column in ("found", "stated"))
        said = "none stated" if stated.isna().all() else f"stated {stated.sum():,}"
        words.append(f"{found.sum():,} {label} ({said})")
    return ", ".join(words)


def require_stated(table: pd.DataFrame) -> None:
    """Raises ValueError that lists every count that is not the stated one, or for which none is stated.

    For published archives alone: call it on an `overview` made with facts.
    """
    wrong = table[(table["found"] != table["stated"]).fillna(True)]  # <NA>: none stated
    if wrong.empty:
        return
    lines = [
        f"  {row.object}: {row.split} {row.label}: found {row.found:,}, "
        + ("none stated" if pd.isna(row.stated) else f"stated {row.stated:,}")
        for row in wrong.itertuples()
    ]
    raise ValueError(
        f"{table['dataset'].iloc[0]} {table['setup'].iloc[0]}: not what its owners state; "
        "the archive or its unpacked folder has changed:\n" + "\n".join(lines)
    )
