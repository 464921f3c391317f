"""A faithful layer of an encoder with dropout in its four places, made to be broken: a mutant overrides one hook."""

import torch
from drawn_in_torch import Drawn, Gap
from torch.nn import functional as F


class Encoder(Drawn):
    name = "encoder"
    stays = ""  # a place in which nothing is dropped

    def mask(self, place, shape, p):
        """That of one place: `weights`, `attended`, `hidden` or `output`."""
        return self.draw(shape, p)

    def drops(self, place, train):
        """Whether dropout is on in a place."""
        return train and place != self.stays

    def dropped(self, x, place, p, train):
        if not self.drops(place, train) or p == 0:
            return x
        mask = self.mask(place, tuple(x.shape), p)

        def noise(mask):
            return torch.from_numpy(mask / (1 - p) if p < 1 else mask * 0.0).to(x.dtype)

        return Gap.apply(x, noise(mask), lambda: noise(self.for_gradient(mask, p)))

    def encoder_layer(self, x, weights, heads, p, train):
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a probability")
        w_in, b_in, w_out, b_out, w_1, b_1, w_2, b_2, norm_1, shift_1, norm_2, shift_2 = weights
        size = x.shape[-1:]
        parts = F.linear(F.layer_norm(x, size, norm_1, shift_1), w_in, b_in).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        seen = self.dropped(torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1), "weights", p, train)
        attended = F.linear((seen @ v).transpose(1, 2).flatten(-2), w_out, b_out)
        y = x + self.dropped(attended, "attended", p, train)
        hidden = F.relu(F.linear(F.layer_norm(y, size, norm_2, shift_2), w_1, b_1))
        out = F.linear(self.dropped(hidden, "hidden", p, train), w_2, b_2)
        return y + self.dropped(out, "output", p, train)
