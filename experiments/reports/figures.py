"""One way to make figures, to draw axes and to save; the colours are `fitness.palette`'s."""

import io
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DPI = 110


def new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """Return an empty figure of so many inches, outside pyplot's state."""
    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def plain_axes(*axes: Axes, grid: Literal["both", "y"] | None = None) -> None:
    """Leave the lower and the left spine alone, over a faint grid if there is one."""
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        if grid:
            ax.grid(axis=grid, color="0.93", linewidth=0.8)
            ax.set_axisbelow(True)


def figure_bytes(figure: Figure) -> bytes:
    """Render any figure as PNG."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
