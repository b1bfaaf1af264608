"""The lamp over a scene: where it stands, how it shades a surface and casts shadows."""

from dataclasses import dataclass

import numpy as np

from demo_data.drawing import Grid, cosine_sine
from demo_data.randomness import Draw


@dataclass(frozen=True)
class Light:
    """A soft lamp at the upper left; (x, y, z): unit vector towards it, y pointing down, z to the viewer."""

    x: float
    y: float
    z: float
    ambient: float
    slope: float
    """Relative fall of brightness away from the lamp, across 200 units."""

    @classmethod
    def drawn(cls, draw: Draw, swing: float = 0.03) -> "Light":
        """A lamp whose direction varies by `swing` turns to either side."""
        c, s = cosine_sine(0.63 + draw.uniform(-swing, swing))
        height = draw.uniform(0.66, 0.74)
        flat = float(np.sqrt(1 - height * height))
        return cls(c * flat, s * flat, height, draw.uniform(0.29, 0.34), draw.uniform(0.12, 0.2))

    def shade(
        self, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray, sharpness: int = 5
    ) -> tuple[np.ndarray, np.ndarray]:
        """Brightness (about 1 where facing the lamp) and mirror highlight (0 to 1) for unit normals."""
        diffuse = np.maximum(nx * self.x + ny * self.y + nz * self.z, 0.0)
        norm = float(np.sqrt(self.x * self.x + self.y * self.y + (self.z + 1) * (self.z + 1)))
        gloss = np.maximum((nx * self.x + ny * self.y + nz * (self.z + 1)) / norm, 0.0)
        for _ in range(sharpness):  # to the power of 2^sharpness
            gloss = gloss * gloss
        return self.ambient + (1 - self.ambient) * diffuse * 1.15, gloss

    def relief(
        self, slope_x: np.ndarray, slope_y: np.ndarray, sharpness: int = 5
    ) -> tuple[np.ndarray, np.ndarray]:
        """`shade` of a height field with the given slopes."""
        norm = np.sqrt(slope_x * slope_x + slope_y * slope_y + 1.0)
        return self.shade(-slope_x / norm, -slope_y / norm, 1.0 / norm, sharpness)

    def shadow(self, height: float) -> tuple[float, float]:
        """Where the shadow of a point at `height` falls, relative to the point."""
        return -self.x / self.z * height, -self.y / self.z * height

    def falloff(self, grid: Grid) -> np.ndarray:
        """Brightness of the flat ground (H, W), slightly less away from the lamp."""
        return 1.0 + self.slope * ((grid.x - 90) * self.x + (grid.y - 75) * self.y) / 100.0
