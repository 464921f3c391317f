"""Drawing a mask: its shape, its rate, where its randomness comes from."""

import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from scipy.stats import binomtest

from keeprate.impl.mask import channels, draw, entries, shared, unbatched_channels, where_kept

MILLION = 1e-6  # chance that a faithful mask fails one of these tests


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_entries_are_kept_at_the_rate_promised(p, fresh_seed):
    kept = draw((2**11, 2**11), p, mx.random.key(fresh_seed))
    assert kept.dtype == mx.uint32
    assert binomtest(int(kept.sum()), 2**22, 1 - p).pvalue > MILLION


def test_the_rarest_drops_still_happen(fresh_seed):
    # 21 are expected of 2^28. mx.random.bernoulli(1 - 8e-8) drops none: its threshold is rounded up to 1.
    keys = mx.random.split(mx.random.key(fresh_seed), 16)
    kept = sum(int(draw((2**24,), 8e-8, key).sum()) for key in keys)
    assert binomtest(2**28 - kept, 2**28, 8e-8).pvalue > MILLION


@pytest.mark.parametrize(("p", "expected"), [(1e-300, True), (1 - 2**-53, False)])
def test_p_beyond_the_resolution_of_32_bits_is_as_good_as_0_or_1(p, expected, fresh_seed):
    # Of 4096 draws one is kept at the greatest p with a chance of 1e-6.
    assert (np.asarray(draw((4096,), p, mx.random.key(fresh_seed))) == expected).all()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1, 5), (0, 4)])
def test_masks_of_any_shape_can_be_drawn(shape):
    assert draw(shape, 0.5).shape == shape


def test_a_mask_has_a_draw_for_each_entry_or_each_channel():
    x = mx.zeros((2, 3, 4, 5))
    assert entries(x) == (2, 3, 4, 5)
    assert channels(x) == (2, 1, 1, 5)
    assert unbatched_channels(x) == (1, 1, 1, 5)
    assert channels(mx.zeros((2, 5))) == (2, 5)
    assert unbatched_channels(mx.zeros((5,))) == (5,)
    assert shared(x, (1, -1)) == (2, 1, 4, 1)


def test_too_few_dimensions_for_channels_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        channels(mx.zeros((3,)))
    with pytest.raises(ValueError, match=r"shape \(\)"):
        unbatched_channels(mx.zeros(()))


@pytest.mark.parametrize("axis", [4, -5])
def test_an_axis_to_share_must_exist(axis):
    with pytest.raises(ValueError, match=rf"shape \(2, 3, 4, 5\) has no axis {axis}"):
        shared(mx.zeros((2, 3, 4, 5)), (0, axis))


def test_a_seed_decides_the_masks_and_each_is_new(fresh_seed):
    mx.random.seed(fresh_seed)
    first, second = np.array(draw((4096,), 0.5)), np.array(draw((4096,), 0.5))
    mx.random.seed(fresh_seed)
    np.testing.assert_array_equal(first, draw((4096,), 0.5))
    assert binomtest(int((first == second).sum()), 4096, 0.5).pvalue > MILLION


def test_a_mask_is_independent_of_what_mlx_draws_before_and_after(fresh_seed):
    mx.random.seed(fresh_seed)
    before = mx.random.bernoulli(0.5, (4096,))
    mask = draw((4096,), 0.5)
    after = mx.random.bernoulli(0.5, (4096,))
    for other in (before, after):
        assert binomtest(int((mask == other).sum()), 4096, 0.5).pvalue > MILLION


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32, mx.float64])
def test_noise_has_the_value_where_kept_and_zero_elsewhere(dtype):
    noise = where_kept(mx.array([True, False]), 1.1, dtype)
    assert noise.dtype == dtype
    assert mx.array_equal(noise, mx.array([1.1, 0.0], dtype))


def test_the_operators_need_nothing_but_mlx_and_numpy():
    run = subprocess.run(
        [sys.executable, "-c", "import sys, keeprate.impl.dropout, keeprate.impl.alpha; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "scipy", "pytest", "harness", "specs"} & set(run.stdout.split())
