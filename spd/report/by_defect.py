"""Metrics by defect type, where cells hold them: each type's anomalies and all normal images."""

from collections.abc import Iterable

import pandas as pd

from spd.report.cells import Cell
from spd.report.options import TableOptions
from spd.report.tidy import MEAN, tidy

_JOINT = "\x1f"  # no name holds it


def by_defect(cells: Iterable[Cell], table: str, options: TableOptions) -> pd.DataFrame:
    """The tidy frame of a table (spd.report.tidy) with a row a defect type, named in a column `defect` more.

    There are no intervals and no means over objects: types belong to their object. What is undefined, as
    pixel metrics of an object without masks, has no row. Empty where no cell holds metrics by type.
    """
    frame = tidy(filter(None, map(_by_type, cells)), table, options, intervals=False)
    frame = frame[(frame["object"] != MEAN) & frame["value"].notna()].reset_index(drop=True)
    names = frame["object"].str.split(_JOINT)
    return frame.assign(object=names.str[0].astype("object"), defect=names.str[1].astype("object"))


def _by_type(cell: Cell) -> Cell | None:
    """The cell with a defect type in the place of each object; None where it knows no types."""
    objects = {
        f"{name}{_JOINT}{defect}": result.model_copy(
            update={
                "classification": result.by_defect.get(defect),
                "segmentation": result.by_defect_segmentation.get(defect),
                "image_scores": None,
            }
        )
        for name, result in cell.objects.items()
        for defect in dict.fromkeys([*result.by_defect, *result.by_defect_segmentation])
    }
    return cell.model_copy(update={"objects": objects}) if objects else None
