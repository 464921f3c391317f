"""A small network, trained in MLX with our layers and transforms, against the same network in PyTorch."""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten

from keeprate.impl import modules, random, transforms

STEPS, BATCH, INPUTS, LENGTH, CHANNELS, WIDTH = 200, 16, 8, 5, 6, 16
# A gradient comes of sums of at most 8, 30, 16 and 16 products forward, 16, 16, 16 and 30 back, 16 in the loss and 16
# over the batch, each product and each sum rounded; 30 roundings more for what stands between.
ROUNDINGS = 2 * 180 + 30


class Network(nn.Module):
    """(BATCH, INPUTS) → (BATCH, 1), and the output of each dropout layer."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(INPUTS, LENGTH * CHANNELS)
        self.two = nn.Linear(LENGTH * CHANNELS, WIDTH)
        self.three = nn.Linear(WIDTH, WIDTH)
        self.four = nn.Linear(WIDTH, 1)
        self.channels, self.entries, self.alpha = (
            modules.Dropout1d(0.2),
            modules.Dropout(0.3),
            modules.AlphaDropout(0.1),
        )

    def __call__(self, x):
        first = self.channels(mx.tanh(self.one(x)).reshape(-1, LENGTH, CHANNELS))
        second = self.entries(mx.tanh(self.two(first.reshape(-1, LENGTH * CHANNELS))))
        third = self.alpha(mx.tanh(self.three(second)))
        return self.four(third), (first, second, third)


class Twin(torch.nn.Module):
    """The same network in PyTorch."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Linear(INPUTS, LENGTH * CHANNELS)
        self.two = torch.nn.Linear(LENGTH * CHANNELS, WIDTH)
        self.three = torch.nn.Linear(WIDTH, WIDTH)
        self.four = torch.nn.Linear(WIDTH, 1)
        self.channels, self.entries = torch.nn.Dropout1d(0.2), torch.nn.Dropout(0.3)
        self.alpha = torch.nn.AlphaDropout(0.1)

    def forward(self, x):
        one = torch.tanh(self.one(x)).reshape(-1, LENGTH, CHANNELS)
        first = self.channels(one.movedim(-1, 1)).movedim(1, -1)
        second = self.entries(torch.tanh(self.two(first.reshape(-1, LENGTH * CHANNELS))))
        return self.four(self.alpha(torch.tanh(self.three(second))))


def masks_of(first, second, third):
    """What PyTorch would have drawn. No tanh is exactly 0; alpha dropout takes it to −0.76 or more, a drop to −1.46."""
    return np.moveaxis(np.asarray(first) != 0, -1, 1), np.asarray(second) != 0, np.asarray(third) > -1


def gradients(twin, parameters, x, y, drawing):
    """PyTorch's, in float64, by name."""
    twin.zero_grad()
    twin.load_state_dict({name: torch.from_numpy(values) for name, values in parameters.items()})
    with drawing:
        loss = ((twin(torch.from_numpy(x).double()) - torch.from_numpy(y).double()) ** 2).mean()
    loss.backward()
    assert drawing.draws == 3
    return {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}


def flat(tree):
    return {name: np.array(values) for name, values in tree_flatten(tree)}


def whole_step_compiled(model, optimizer):
    state = [model.state, optimizer.state]
    return transforms.compile(step_of(model, model, optimizer), inputs=state, outputs=state)


def model_checkpointed(model, optimizer):
    return step_of(transforms.checkpoint(model), model, optimizer)


def both(model, optimizer):
    state = [model.state, optimizer.state]
    return transforms.compile(model_checkpointed(model, optimizer), inputs=state, outputs=state)


def step_of(forward, model, optimizer):
    """A function of a batch that trains the model, and returns gradients and activations."""

    def loss(x, y):
        out, dropped = forward(x)
        return ((out - y) ** 2).mean(), dropped

    def step(x, y):
        (_, dropped), grads = nn.value_and_grad(model, loss)(x, y)
        optimizer.update(model, grads)
        return grads, dropped

    return step


@pytest.fixture
def one_core():
    """PyTorch's threads wait for each other longer than work this small takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("transformed", [whole_step_compiled, model_checkpointed, both])
def test_every_gradient_of_a_training_is_pytorchs_given_the_same_masks(transformed, fresh_seed, given_masks):
    random.seed(fresh_seed)
    rng = np.random.default_rng(fresh_seed)
    model, optimizer = Network(), optim.SGD(learning_rate=0.05)
    step, twin = transformed(model, optimizer), Twin().double()
    seen = set()
    for _ in range(STEPS):
        x = rng.normal(size=(BATCH, INPUTS)).astype(np.float32)
        y = np.sin(x.sum(1, keepdims=True))
        parameters = flat(model.parameters())
        grads, dropped = step(mx.array(x), mx.array(y))
        masks = masks_of(*dropped)
        expected = gradients(twin, parameters, x, y, given_masks(*masks))
        found = flat(grads)
        assert found.keys() == expected.keys()
        length = np.sqrt(sum((values**2).sum() for values in expected.values()))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=0, atol=ROUNDINGS * 2**-24 * length)
        seen.add(b"".join(mask.tobytes() for mask in masks))
    assert len(seen) == STEPS
    assert all((values != parameters[name]).any() for name, values in flat(model.parameters()).items())
