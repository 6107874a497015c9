import numpy as np
import pytest

from training import products, props, synthesis
from training.augment import augment, random_crop, to_canvas
from training.cutouts import Cutout, cropped, is_whole, without_rim
from training.kit import Kit
from training.products import cables, lay, looks_clear, see_through
from training.props import PRODUCTS, _fringed
from training.scene_mix import SceneMix
from training.strokes import ellipse, stroke
from training.synthesis import empty_scene, scene

MIX = SceneMix()


@pytest.fixture
def kit():
    rows, columns = np.mgrid[:60, :40]
    alpha = (np.hypot((rows - 30) / 30, (columns - 20) / 20) < 1).astype(np.float32)
    red = np.zeros((60, 40, 3), np.uint8)
    red[..., 0] = 200
    grounds = [np.full((80, 120, 3), shade, np.uint8) for shade in (60, 190)]
    return Kit([Cutout(red, alpha)], [Cutout(red[::-1].copy(), alpha)], grounds, grounds)


def test_the_same_seed_draws_the_same_scene(kit):
    one, other = (scene(np.random.default_rng([7, 1]), kit, 96, MIX) for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one[..., :3].mean(), scene(np.random.default_rng([7, 2]), kit, 96, MIX)[..., :3].mean())


def test_scenes_hold_a_product_and_fit_the_frame(kit):
    for number in range(60):
        pixels = scene(np.random.default_rng(number), kit, 96, MIX)
        assert max(pixels.shape[:2]) == 96
        assert pixels.dtype == np.uint8
        assert 0.001 < (pixels[..., 3] > 0).mean() < 0.99


def test_an_empty_scene_has_an_empty_target(kit):
    pixels = empty_scene(np.random.default_rng(3), kit, 96, MIX)
    assert pixels[..., 3].max() == 0


def test_a_laid_product_keeps_its_colour_up_to_its_edge(kit):
    for number in range(10):
        product, alpha = lay(np.random.default_rng(number), kit.exact[0], (90, 90), smallest=0.3)
        inside = alpha > 0.3
        assert abs(product[inside] - (200, 0, 0)).max() < 4


def test_augment_is_decided_by_the_generator(kit):
    pixels = scene(np.random.default_rng(1), kit, 96, MIX)
    for number in range(20):
        results = [augment(np.random.default_rng(number), pixels, (64, 64)) for _ in range(2)]
        assert np.array_equal(results[0][0], results[1][0])
        image, alpha = results[0]
        assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
        assert (alpha.shape, alpha.dtype) == ((64, 64), np.float32)
        assert 0 <= alpha.min() <= alpha.max() <= 1


def test_image_and_target_stay_aligned():
    pixels = np.zeros((50, 100, 4), np.uint8)
    pixels[10:30, 20:60] = 255
    image, alpha = to_canvas(pixels, (64, 64))
    assert np.abs(image[16:48, :, 0] / 255.0 - alpha[16:48]).max() < 0.02
    assert not alpha[:16].any()


def test_a_crop_keeps_most_of_the_product(kit):
    pixels = scene(np.random.default_rng(5), kit, 96, MIX)
    total = pixels[..., 3].sum(dtype=np.int64)
    for number in range(20):
        crop = random_crop(np.random.default_rng(number), pixels)
        assert crop[..., 3].sum(dtype=np.int64) >= 0.75 * total


def test_whole_objects_are_told_from_cut_ones():
    alpha = np.zeros((40, 40), np.float32)
    alpha[10:30, 10:30] = 1
    assert is_whole(alpha)
    assert not is_whole(np.roll(alpha, 10, axis=0))
    two = alpha.copy()
    two[10:30, 19:21] = 0
    assert not is_whole(two)


def test_the_rim_is_pulled_inwards():
    alpha = np.zeros((40, 40), np.float32)
    alpha[10:30, 10:30] = 1
    inner = without_rim(alpha)
    assert inner[20, 20] == 1
    assert inner.sum() < alpha.sum()
    assert inner[9, 20] < 0.1


def test_an_empty_cutout_is_refused():
    with pytest.raises(ValueError, match="empty"):
        cropped(np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5), np.float32))


@pytest.mark.parametrize("draw", PRODUCTS)
def test_drawn_products_are_exact_and_repeat(draw, kit):
    one, other = (draw(np.random.default_rng(4), kit, 120) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.alpha, other.alpha)
    assert one.image.shape[:2] == one.alpha.shape
    assert one.alpha.dtype == np.float32
    assert one.alpha.max() == 1


def test_the_inside_of_what_is_framed_is_product(kit):
    for draw in PRODUCTS[:3]:
        alpha = draw(np.random.default_rng(1), kit, 120).alpha
        assert alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 1


def test_one_sees_through_a_wire_basket():
    nothing = Kit((), (), (), ())
    alpha = PRODUCTS[3](np.random.default_rng(2), nothing, 200).alpha
    assert 0.05 < (alpha > 0.5).mean() < 0.7


def test_scenes_need_no_photos_at_all():
    pixels = scene(np.random.default_rng(2), Kit((), (), (), ()), 96, MIX)
    assert pixels[..., 3].max() > 127


def test_cables_join_parts_thinly(kit):
    rng = np.random.default_rng(3)
    parts = [lay(rng, kit.exact[0], (200, 200), smallest=0.2, largest=0.3) for _ in range(2)]
    _, alpha = cables(rng, parts)
    assert 0 < (alpha > 0.5).mean() < 0.15


def test_glass_is_denser_at_its_rim(kit):
    laid = lay(np.random.default_rng(1), kit.exact[0], (120, 120), smallest=0.9)
    _, alpha = see_through(np.random.default_rng(1), laid)
    rows, columns = np.nonzero(laid[1] > 0.99)
    middle = alpha[int(rows.mean()), int(columns.mean())]
    assert middle < 0.99
    assert alpha.max() > middle


def test_what_looks_solid_is_not_see_through(kit, monkeypatch):
    def refuse(*_):
        raise AssertionError("a red disc, or a drawn product, was made see-through")

    monkeypatch.setattr(synthesis, "see_through", refuse)
    for number in range(12):
        scene(np.random.default_rng(number), kit, 96, SceneMix(translucent=1.0, drawn=0.0))
        scene(np.random.default_rng(number), Kit((), (), (), ()), 96, SceneMix(translucent=1.0))


def test_what_looks_clear_may_be_see_through(kit):
    glass = Cutout(np.full_like(kit.exact[0].image, 190), kit.exact[0].alpha)
    assert looks_clear(glass)
    assert not looks_clear(kit.exact[0])
    assert not looks_clear(Cutout(np.full_like(glass.image, 30), glass.alpha))
    mix = SceneMix(translucent=1.0, drawn=1.0, several=0.0, cabled=0.0)
    for number in range(8):
        alpha = scene(np.random.default_rng(number), Kit([glass], (), (), ()), 96, mix)[..., 3]
        assert ((alpha > 70) & (alpha < 245)).sum() > 0.3 * (alpha > 0).sum()


def test_a_rugs_fringe_is_pale_and_its_gaps_are_not_product():
    pattern = np.full((100, 60, 3), 90.0, np.float32)
    image, alpha = _fringed(np.random.default_rng(1), pattern)
    threads = alpha[0] == 1
    assert 0.3 < threads.mean() < 0.9
    assert image[0][threads].min() >= 190
    assert not alpha[0][~threads].any()
    assert (image[50] == 90).all()
    assert (alpha[10:90] == 1).all()


def test_shapes_have_soft_edges():
    for alpha in (
        ellipse((60, 80), (40, 30), (20.0, 10.0), 10.0),
        stroke((60, 80), np.array([[5, 5], [70, 50]], np.float32), 3.0),
    ):
        assert ((alpha > 0.05) & (alpha < 0.95)).sum() > 30
    assert ellipse((60, 80), (40, 30), (20, 10)).sum() == pytest.approx(np.pi * 200, rel=0.03)


def test_a_cushion_and_a_plug_have_soft_edges(monkeypatch, kit):
    seen = []
    for module in (props, products):
        monkeypatch.setattr(module, "ellipse", lambda *more: seen.append(ellipse(*more)) or seen[-1])
    props.wicker(np.random.default_rng(1), kit, 120)
    cables(np.random.default_rng(1), [lay(np.random.default_rng(1), kit.exact[0], (200, 200), smallest=0.2)])
    assert len(seen) == 2
    assert all(((alpha > 0.05) & (alpha < 0.95)).any() for alpha in seen)


def test_a_small_photo_is_drawn_small(kit):
    mix = SceneMix(photo_px_min=60, photo_px_max=60)
    assert max(scene(np.random.default_rng(1), kit, 96, mix).shape[:2]) == 60
