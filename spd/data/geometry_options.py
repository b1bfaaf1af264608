"""Options of the geometry that images and masks share."""

from typing import Literal

from pydantic import Field, model_validator

from spd.options import Options


class GeometryOptions(Options):
    """Resize, then centre crop; masks follow with nearest neighbour, so that they stay on their pixels."""

    resize: int = Field(default=256, ge=8)
    """Pixels of the short side, or of both sides (`mode`)."""
    mode: Literal["short", "square"] = "square"
    """`short` keeps the aspect ratio and sets the short side (torchvision's Resize); `square` sets both
    sides."""
    crop: int | None = Field(default=None, ge=8)
    """Side of the centre crop after resizing, at most `resize`; none by default."""
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    """Pillow's filter for images."""
    antialias: bool = True
    """Widen the filter when shrinking, as Pillow always does. Without it OpenCV's filters of the same name
    are used."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "GeometryOptions":
        if self.crop is not None and self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}; it must be at most that")
        return self
