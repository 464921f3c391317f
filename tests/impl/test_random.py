"""Where keys come from: seeds, threads and processes."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import numpy as np
import pytest

from keeprate.impl import random, transforms
from keeprate.impl.dropout import dropout

X = mx.ones((4096,))
mx.eval(X)


def mask(call=dropout):
    return np.array(call(X)) != 0


def in_thread(work):
    """What work() returns in a fresh thread."""
    done = []

    def run():
        try:
            done.append(work())
        finally:
            mx.clear_streams()  # without, MLX aborts the process as it exits

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return done[0]


def in_processes(code, number=2):
    """What `code` prints in fresh processes that run at the same time."""
    start = [sys.executable, "-c", code]
    running = [subprocess.Popen(start, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * number
    return printed


def test_threads_share_masks_neither_with_each_other_nor_with_the_main_thread(fresh_seed, assert_independent):
    random.seed(fresh_seed)
    assert_independent([mask(), *[in_thread(mask) for _ in range(4)], mask()])


@pytest.mark.parametrize("transform", [transforms.compile, transforms.checkpoint], ids=lambda f: f.__name__)
def test_threads_draw_apart_under_transforms_too(transform, fresh_seed, assert_independent):
    random.seed(fresh_seed)
    shared = transform(dropout)
    mask(shared)
    assert_independent([mask(shared), *[in_thread(lambda: mask(shared)) for _ in range(3)]])
    assert_independent([in_thread(lambda: mask(transform(dropout))) for _ in range(3)])


def test_threads_draw_apart_without_a_seed_or_with_mlxs_own(fresh_seed, assert_independent):
    mx.random.seed(fresh_seed)
    first = [mask(), *[in_thread(mask) for _ in range(2)]]
    mx.random.seed(fresh_seed)
    again = [mask(), *[in_thread(mask) for _ in range(2)]]
    np.testing.assert_array_equal(first[0], again[0])
    assert_independent([*first, *again[1:]])


def test_a_seed_decides_the_masks_of_the_threads_that_start_after_it(fresh_seed):
    runs = []
    for _ in range(2):
        random.seed(fresh_seed)
        runs.append([in_thread(mask), mask(), in_thread(mask)])
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("seed", [random.seed, mx.random.seed], ids=["ours", "mlx"])
def test_a_thread_that_is_seeded_repeats_the_masks_of_another_seeded_alike(seed, fresh_seed):
    def work():
        seed(fresh_seed)
        return mask(), mask()

    np.testing.assert_array_equal(in_thread(work), in_thread(work))
    np.testing.assert_array_equal(in_thread(work), work())


def test_threads_at_the_same_time_give_no_mask_twice(fresh_seed, assert_independent):
    random.seed(fresh_seed)
    together = threading.Barrier(4)

    def work(_):
        together.wait()
        masks = [mask() for _ in range(8)]
        mx.clear_streams()
        return masks

    with ThreadPoolExecutor(4) as pool:
        masks = [one for masks in pool.map(work, range(4)) for one in masks]
    assert len(masks) == 32
    assert_independent(masks)


def test_a_thread_that_has_drawn_follows_mlxs_seed(fresh_seed):
    def work():
        mask()
        mx.random.seed(fresh_seed)
        return mask()

    mx.random.seed(fresh_seed)
    np.testing.assert_array_equal(in_thread(work), mask())


def test_a_fresh_thread_refuses_to_draw_first_inside_a_bare_compile():
    compiled = mx.compile(dropout, inputs=mx.random.state, outputs=mx.random.state)

    def refused():
        with pytest.raises(RuntimeError, match=r"use keeprate\.impl\.transforms\.compile"):
            compiled(X)
        return True

    def seeded():
        random.seed(1)
        return mask(compiled)

    assert in_thread(refused)
    assert 1024 < in_thread(seeded).sum() < 3072  # all but 1e-200 of the time


SHOW = "import mlx.core as mx; from keeprate.impl.dropout import dropout; {}; print(dropout(mx.ones(64)).tolist())"


def test_processes_agree_when_seeded_alike_and_differ_when_unseeded(fresh_seed):
    seeded = in_processes(SHOW.format(f"mx.random.seed({fresh_seed})"))
    assert seeded[0] == seeded[1]
    # 64 fair draws agree with a chance of 5e-20.
    assert len({*in_processes(SHOW.format("pass")), seeded[0]}) == 3


def test_a_seed_that_was_set_before_the_import_stays(fresh_seed):
    before = f"import mlx.core as mx; mx.random.seed({fresh_seed}); " + SHOW.format("pass")
    assert in_processes(before, 1) == in_processes(SHOW.format(f"mx.random.seed({fresh_seed})"), 1)


def test_a_process_whose_threads_clear_their_streams_ends_well():
    code = """
import threading, mlx.core as mx
from keeprate.impl.dropout import dropout
def work():
    mx.eval(dropout(mx.ones(64)))
    mx.clear_streams()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""
    assert in_processes(code, 1) == ["done\n"]


def test_keys_of_a_transform_follow_from_its_key_and_differ(fresh_seed):
    key = mx.random.key(fresh_seed)

    def drawn():
        with random.drawing_from(key) as inside:
            assert not inside.drawn
            keys = [random.key_of_transform(), random.next_key(), random.key_of_transform(), random.next_key()]
            assert inside.drawn
        return [tuple(key.tolist()) for key in keys]

    first = drawn()
    assert first == drawn()
    assert len(set(first)) == 4
