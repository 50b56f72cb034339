import numpy as np
import pytest

from pipeline.world.backdrops import draw_backdrop
from pipeline.world.cameras import FRAME_HEIGHT, FRAME_WIDTH, Window, develop, draw_camera


@pytest.fixture(scope="module")
def camera():
    return draw_camera(np.random.default_rng(3), 2, strength=1, noise=0, blur=0.1, quality=85)


def test_the_middle_of_the_path_is_in_the_middle_of_the_frame(camera):
    chest = camera.to_camera(np.array([[0, camera.distance, 0.9]]))
    np.testing.assert_allclose(camera.project(chest), [[FRAME_WIDTH / 2, FRAME_HEIGHT / 2]])
    head, aside = camera.project(
        camera.to_camera(np.array([[0, camera.distance, 1.7], [1, camera.distance, 0.9]]))
    )
    assert head[1] < FRAME_HEIGHT / 2  # up in the world is up in the frame
    assert aside[0] > FRAME_WIDTH / 2


def test_a_ray_through_a_pixel_leads_back_to_it(camera):
    window = Window(300.5, 100, 380.5, 260)
    x, y = camera.slopes(window, 32, 16)
    points = 7.0 * np.array([[x[3], y[20], 1.0]])
    back = window.to_image(camera.project(points), 32, 16)
    np.testing.assert_allclose(back, [[3.5, 20.5]])  # the centre of column 3, row 20


def test_the_rotation_is_one_and_looks_down(camera):
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    ahead = camera.rotation[:, 2]
    assert ahead[1] > 0 > ahead[2]


def test_the_ground_of_a_backdrop_is_as_far_as_its_height_says(camera):
    backdrop = draw_backdrop(camera, np.random.default_rng(0), things=1)
    frame = Window(0, 0, FRAME_WIDTH, FRAME_HEIGHT)
    x, y = camera.slopes(frame, FRAME_HEIGHT, FRAME_WIDTH)
    row = FRAME_HEIGHT - 1
    falls = np.array([x[100], y[row], 1.0]) @ camera.rotation[2]  # metres a metre of depth
    assert backdrop.depth[row, 100] == pytest.approx(-camera.height / falls, rel=1e-5)
    assert backdrop.colour.shape == (FRAME_HEIGHT, FRAME_WIDTH, 3)
    assert backdrop.depth.min() > 1


def test_each_camera_has_its_own_look(camera):
    other = draw_camera(np.random.default_rng(4), 3, strength=1, noise=0, blur=0.1, quality=85)
    light, window = np.full((64, 32, 3), 0.5), Window(0, 0, 16, 32)
    one, two = (
        develop(c, light, window, np.random.default_rng(0), 32, 16) for c in (camera, other)
    )
    assert one.shape == (32, 16, 3)
    assert one.dtype == np.uint8
    assert np.abs(one.mean((0, 1)) - two.mean((0, 1))).max() > 5
    assert np.ptp(one.reshape(-1, 3), axis=0).max() == 0  # no noise: an even picture stays even


def test_a_small_window_gives_a_coarse_image(camera):
    fine = np.zeros((64, 32, 3))
    fine[:, ::4] = 1  # lines of one ray's width
    sharp, coarse = (
        develop(camera, fine, Window(0, 0, side / 2, side), np.random.default_rng(0), 32, 16)
        for side in (32, 12)
    )
    assert coarse.std() < sharp.std()
