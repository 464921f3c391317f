"""Faithful recurrent layers with dropout between them, made to be broken: a mutant overrides one of the hooks.

A layer is written out step by step, and each gap multiplies by a noise that it draws, forward and back. What draws is
NumPy's; arrays and gradients are PyTorch's.
"""

import torch
from drawn_in_torch import Drawn, Gap


class Recurrent(Drawn):
    name = "recurrent"

    def masks(self, gaps, shape, p):
        """Those of all gaps."""
        return [self.draw(shape, p) for _ in range(gaps)]

    def factor(self, p):
        return 1 / (1 - p) if p < 1 else 0.0

    def in_evaluation(self, p):
        """What a gap multiplies by in evaluation."""
        return

    def last(self, x, p, train):
        """What becomes of the outputs of the last layer."""
        return x

    def lstm_dropout(self, x, weights, p, train):
        return self.stack(self.lstm, x, weights, p, train)

    def gru_dropout(self, x, weights, p, train):
        return self.stack(self.gru, x, weights, p, train)

    def stack(self, layer, x, weights, p, train):
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a probability")
        drops = train and p > 0
        masks = self.masks(len(weights) - 1, tuple(x.shape), p) if drops else []
        for number, each in enumerate(weights):
            if number:
                x = self.gap(x, masks[number - 1], p) if drops else self.scaled(x, p)
            x = layer(x, *each)
        return self.last(x, p, train)

    def scaled(self, x, p):
        scale = self.in_evaluation(p)
        return x if scale is None else x * scale

    def gap(self, x, mask, p):
        def noise(mask):
            return torch.from_numpy(mask * self.factor(p)).to(x.dtype)

        return Gap.apply(x, noise(mask), lambda: noise(self.for_gradient(mask, p)))

    def lstm(self, x, w_ih, w_hh, b_ih, b_hh):
        h = c = torch.zeros_like(x[0])
        steps = []
        for given in x @ w_ih.T + b_ih:
            i, f, g, o = (given + h @ w_hh.T + b_hh).chunk(4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            steps.append(h)
        return torch.stack(steps)

    def gru(self, x, w_ih, w_hh, b_ih, b_hh):
        h = torch.zeros_like(x[0])
        steps = []
        for given in x @ w_ih.T + b_ih:
            (r, z, n), (hr, hz, hn) = given.chunk(3, dim=-1), (h @ w_hh.T + b_hh).chunk(3, dim=-1)
            z = (z + hz).sigmoid()
            h = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * h
            steps.append(h)
        return torch.stack(steps)
