from evobourse.experiments.reports.figures import DPI, figure_bytes, new_figure, plain_axes


def test_a_figure_is_saved_in_its_size():
    png = figure_bytes(new_figure(2.0, 1.0))
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[at : at + 4]) for at in (16, 20)] == [2 * DPI, DPI]


def test_plain_axes_keep_two_spines_and_have_a_grid_if_asked():
    bare, ruled = new_figure(4, 2).subplots(1, 2)
    plain_axes(bare)
    plain_axes(ruled, grid="y")
    for ax in (bare, ruled):
        shown = {side for side, spine in ax.spines.items() if spine.get_visible()}
        assert shown == {"left", "bottom"}
    assert not any(line.get_visible() for line in bare.get_ygridlines())
    assert all(line.get_visible() for line in ruled.get_ygridlines())
    assert not any(line.get_visible() for line in ruled.get_xgridlines())
