"""Writes the figures of docs/magnetic-tile.md from results/magnetic_tile.

    SPD_DATA=/your/folder snakemake --cores all --configfile docs/overlays/magnetic_tile.yaml
    python benchmarks/magnetic_tile_report.py

Numbers and curves only: no pixel of the data set leaves the results folder.
"""

import json
from pathlib import Path

import matplotlib
import numpy as np
from harness import ROOT, table, write_section

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from spd.data.cache import ImageCache
from spd.metrics.by_defect import image_metrics_by_defect, pixel_metrics_by_defect
from spd.metrics.curves import image_curves
from spd.tensors import open_tensors

DOCS = ROOT / "docs"
RESULTS = ROOT / "results" / "magnetic_tile"
NAME = "magnetic_tile"
WEIGHTS = {"ImageNet": "lite0-seed0", "random": "lite0_random-seed0"}


def main() -> None:
    cache = ImageCache(RESULTS / f"images/{NAME}/1cls/tile224/all.safetensors")
    rows, masks = cache.rows(NAME, "test"), cache.masks(NAME, "test")
    anomalous = (rows["label"] == "anomaly").to_numpy()
    defects = [Path(image).parts[0].removeprefix("MT_") for image in rows["image"]]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    by_defect = {}
    for weights, run in WEIGHTS.items():
        folder = RESULTS / f"maps/{NAME}/1cls/padim-tile/all"
        tensors, metadata = open_tensors(folder / f"{run}.safetensors")
        scale = 2.0 ** json.loads(metadata["exponents"])[NAME]
        maps = tensors[f"{NAME}/maps"].astype(np.float32) * np.float32(scale)
        scores = np.array(tensors[f"{NAME}/scores"])
        roc = image_curves(scores, anomalous)["ROC"]
        left.plot(roc.x, roc.y, label=weights)
        image = image_metrics_by_defect(scores, anomalous, defects)
        pixel = pixel_metrics_by_defect(maps, masks, anomalous, defects, pro=False)
        by_defect[weights] = {d: (100 * image[d]["AU-ROC"], 100 * pixel[d]["AU-ROC"]) for d in image}
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="image ROC")
    left.legend(frameon=False)
    kinds = list(by_defect["ImageNet"])
    for i, weights in enumerate(WEIGHTS):
        right.bar(np.arange(len(kinds)) + 0.4 * i - 0.2, [by_defect[weights][k][1] for k in kinds], 0.38)
    right.axhline(50, color="grey", linewidth=0.8)
    right.set(title="pixel AU-ROC by defect", ylim=(0, 100), xticks=range(len(kinds)), xticklabels=kinds)
    (DOCS / "images").mkdir(exist_ok=True)
    figure.savefig(DOCS / "images/magnetic-tile.png", dpi=110, metadata={"Software": None})
    area = {k: sum(int(m.sum()) for m, d in zip(masks, defects, strict=True) if d == k) for k in kinds}
    rows = [
        (
            kind,
            sum(d == kind for d, a in zip(defects, anomalous, strict=True) if a),
            f"{100 * area[kind] / sum(area.values()):.1f} %",
            *(f"{value:.1f}" for w in WEIGHTS for value in by_defect[w][kind]),
        )
        for kind in kinds
    ]
    columns = " | ".join(f"{w}: image | {w}: pixel" for w in WEIGHTS)
    by_kind = table(f"defect | test images | share of anomalous pixels | {columns}", rows)
    lines = (RESULTS / "tables/custom.md").read_text().splitlines()
    means = "\n".join(line for line in lines if line.startswith("|"))
    for name, content in (("means", means), ("defects", by_kind)):
        write_section(name, content, "magnetic-tile.md")


if __name__ == "__main__":
    main()
