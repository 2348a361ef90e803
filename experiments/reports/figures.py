"""One way to draw axes and to save figures."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def figure_bytes(figure: Figure) -> bytes:
    """Render any figure as PNG."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _plain_axes(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.93", linewidth=0.8)
    ax.set_axisbelow(True)
