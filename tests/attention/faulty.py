"""Attention with one fault each, the law that is meant for it, and the cause that is told."""

import copy
import os
import sys
import threading

import numpy as np
import torch
from attention_in_numpy import Array, Compiled, Plain, Stacked, rounded

from keeprate.impl.backends import torch as pytorch

# The backward pass


class KeyedTheOtherWay(Plain):
    """The backward kernel asks its generator for (key, query) in place of (query, key)."""

    meant_for = ("gradient:values", "gradient:queries", "gradient:keys")
    cause = "noise:transposed"

    def for_gradient(self, noise, of):
        return noise.swapaxes(-1, -2) if noise.shape[-1] == noise.shape[-2] else noise


class QueriesWithoutMask(Plain):
    """The gradient of queries leaves the mask out."""

    meant_for = ("gradient:queries",)
    cause = "unmasked"

    def for_gradient(self, noise, of):
        return np.ones_like(noise) if of == "queries" else noise


class KeysWithoutMask(Plain):
    """The gradient of keys leaves the mask out."""

    meant_for = ("gradient:keys",)
    cause = "unmasked"

    def for_gradient(self, noise, of):
        return np.ones_like(noise) if of == "keys" else noise


class ValuesWithoutMask(Plain):
    """The gradient of values leaves the mask out."""

    meant_for = ("gradient:values",)
    cause = "unmasked"

    def for_gradient(self, noise, of):
        return np.ones_like(noise) if of == "values" else noise


class ValuesWithoutScale(Plain):
    """The gradient of values has the mask and not the scale."""

    meant_for = ("gradient:values",)
    cause = "noise:unscaled"

    def for_gradient(self, noise, of):
        return (noise > 0) * 1.0 if of == "values" else noise


class BackwardTimesP(Plain):
    """The backward pass multiplies by p where the forward pass does by 1/(1 − p): NVIDIA/apex#816."""

    meant_for = ("gradient:values", "gradient:queries", "gradient:keys")
    cause = "noise:times_p"

    def for_gradient(self, noise, of):
        return (noise > 0) * (1 - 1 / noise.max())


class DrawnAgain(Plain):
    """The backward pass draws a mask of its own."""

    meant_for = ("gradient:values", "gradient:queries", "gradient:keys")
    cause = "drawn_again"

    def for_gradient(self, noise, of):
        return noise.max() * (np.random.default_rng().random(noise.shape) < (noise > 0).mean())


class LastQueryForgotten(Plain):
    """The backward kernel's last tile of queries has one row of the mask too few."""

    meant_for = ("gradient:keys", "gradient:values")
    cause = "noise:last_query"

    def for_gradient(self, noise, of):
        noise = noise.copy()
        noise[:, :, -1] = 1
        return noise


class QueriesDrawnAgain(Plain):
    """The kernel for the gradient of queries draws a mask of its own; the others have the output's."""

    meant_for = ("gradient:queries",)
    cause = "drawn_again"

    def for_gradient(self, noise, of):
        drawn = np.random.default_rng().random(noise.shape) < (noise > 0).mean()
        return noise.max() * drawn if of == "queries" else noise


class LaterTilesDrawnAgain(Plain):
    """The backward kernel has the output's mask for its first tile of 16 queries alone."""

    meant_for = ("gradient:values", "gradient:queries", "gradient:keys")
    cause = "begins:queries"

    def for_gradient(self, noise, of):
        noise, drawn = noise.copy(), np.random.default_rng().random(noise.shape) < (noise > 0).mean()
        noise[:, :, 16:] = noise.max() * drawn[:, :, 16:]
        return noise


# Who shares a mask


class HeadsShare(Plain):
    """One mask for all heads."""

    meant_for = ("neighbours:4096",)
    cause = "shared_axis:1"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((shape[0], 1, *shape[2:]), p), shape)


class QueriesShare(Plain):
    """One mask for all queries, (b, h, 1, s_kv): NVIDIA/TransformerEngine#227 tells of it."""

    meant_for = ("neighbours:128",)
    cause = "shared_axis:2"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((*shape[:2], 1, shape[3]), p), shape)


class BatchShares(Plain):
    """One mask for the batch."""

    meant_for = ("neighbours:half",)
    cause = "shared_axis:0"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((1, *shape[1:]), p), shape)


class KeysInPairs(Plain):
    """One draw for two neighbouring keys."""

    meant_for = ("neighbours:1", "blocks:2")
    cause = "shared_keys:2"

    def draw(self, shape, p):
        half = super().draw((*shape[:3], -(-shape[3] // 2)), p)
        return np.repeat(half, 2, axis=-1)[..., : shape[3]]


class GroupsShare(Plain):
    """Heads that share keys share a mask."""

    meant_for = ("neighbours:1024",)
    cause = "shared_groups:several"

    def mask(self, shape, p, q, k):
        drawn = self.draw((shape[0], k.shape[1], *shape[2:]), p)
        return np.repeat(drawn, shape[1] // k.shape[1], axis=1)


class TilesRepeat(Plain):
    """Each tile of 64 keys has the first one's mask."""

    meant_for = ("neighbours:64",)
    cause = "tiles:keys"

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        return np.concatenate([mask[..., :64]] * -(-shape[3] // 64), axis=-1)[..., : shape[3]]


class SmallTilesRepeat(Plain):
    """Each tile of 16 keys has the first one's mask, and so has each of 32 and of 64."""

    meant_for = ("neighbours:16",)
    cause = "tiles:keys"

    def draw(self, shape, p):
        mask = super().draw((*shape[:3], min(16, shape[3])), p)
        return np.concatenate([mask] * -(-shape[3] // 16), axis=-1)[..., : shape[3]]


class QueryTilesRepeat(Plain):
    """Each tile of 16 queries has the first one's mask."""

    meant_for = ("slices", "all_lags")
    cause = "tiles:queries"

    def draw(self, shape, p):
        mask = super().draw((*shape[:2], min(16, shape[2]), shape[3]), p)
        return np.concatenate([mask] * -(-shape[2] // 16), axis=2)[:, :, : shape[2]]


class Diagonals(Plain):
    """Numbers are counted by query + key: each diagonal has one draw."""

    meant_for = ("all_lags", "neighbours")
    cause = "diagonals"

    def draw(self, shape, p):
        each = super().draw((*shape[:2], shape[2] + shape[3]), p)
        return each[:, :, np.arange(shape[2])[:, None] + np.arange(shape[3])]


# Rates


class Sixteenths(Plain):
    """p is rounded to a sixteenth."""

    meant_for = ("keep_rate",)
    cause = "rate:16_nearest"

    def draw(self, shape, p):
        return super().draw(shape, round(p * 16) / 16)


class Bytes(Plain):
    """p is rounded down to 1/256."""

    meant_for = ("keep_rate",)
    cause = "rate:256_down"

    def draw(self, shape, p):
        return super().draw(shape, int(p * 256) / 256)


class Exchanged(Plain):
    """p is the probability of keeping."""

    meant_for = ("keep_rate",)
    cause = "rate:exchanged"

    def draw(self, shape, p):
        return super().draw(shape, 1 - p)


class AlwaysTheSame(Plain):
    """p is 0.1, whatever the caller says: a default that is read in place of the argument."""

    meant_for = ("outcomes",)
    cause = "constant"

    def draw(self, shape, p):
        return super().draw(shape, 0.1)

    def factor(self, p, dtype):
        return 1 / 0.9


class NeverDrops(Plain):
    """p is taken and not used."""

    meant_for = ("outcomes",)
    cause = "never"

    def draw(self, shape, p):
        return np.ones(shape, bool)

    def factor(self, p, dtype):
        return 1.0


class ExchangedThroughout(Plain):
    """p is the probability of keeping, and what is kept is scaled by 1/p."""

    meant_for = ("outcomes",)
    cause = "effective:exchanged"

    def draw(self, shape, p):
        return super().draw(shape, 1 - p)

    def factor(self, p, dtype):
        return 1 / p


class NarrowThroughout(Plain):
    """p is rounded to bfloat16 before the rate and the scale are computed."""

    meant_for = ("outcomes",)
    cause = "effective:p_bfloat16"

    def attention(self, q, k, v, p, causal, train):
        return super().attention(q, k, v, rounded(np.array(p), "bfloat16").item(), causal, train)


class DrawnNarrow(Plain):
    """Uniform numbers in the dtype's half: those of bfloat16 that round to 1 are never kept below it."""

    meant_for = ("keep_rate",)
    cause = "rate:drawn_bfloat16_exact"

    def uniform(self, shape):
        return rounded(super().uniform(shape), "bfloat16")


class LastKeysStay(Plain):
    """Beyond a multiple of 32 keys a query's last ones are kept: a tail loop without dropout."""

    meant_for = ("positions", "keep_rate")
    cause = "tail:32"

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        mask.reshape(-1)[-32:] = True
        return mask


# Seeds, calls and modes


class AddressForSeed(Plain):
    """The seed is ignored: its address is read in its place. facebookresearch/xformers#173."""

    meant_for = ("seeding",)
    cause = "seed_ignored"

    def generator(self, seed):
        return super().generator(None)


class OneMaskEver(Plain):
    """Each call begins with the state of the first one."""

    meant_for = ("calls:0", "no_mask_twice")
    cause = "one_mask"

    def draw(self, shape, p):
        before = copy.deepcopy(self.random)
        mask = super().draw(shape, p)
        self.random = before
        return mask


class OffsetBehind(Plain):
    """Each call moves its counter on by half of what it took."""

    meant_for = ("all_shifts", "no_stretch_twice")
    cause = "overlap:2"

    def draw(self, shape, p):
        size = int(np.prod(shape))
        super().uniform(size // 2)
        before = copy.deepcopy(self.random)
        mask = super().draw(shape, p)
        self.random = before
        return mask


class SeedsOverlap(Plain):
    """Seed s + 1 continues a query behind seed s."""

    meant_for = ("streams",)
    cause = "seed_query"

    def draw(self, shape, p):
        if self.fresh:
            self.fresh = False
            self.random = super().generator(1)
            super().uniform((self.value % 1000) * shape[3])
        return super().draw(shape, p)

    def generator(self, seed):
        self.value, self.fresh = seed or 0, True
        return super().generator(seed)


class BeginsAlike(Plain):
    """Processes that nobody seeds begin with one fixed state."""

    meant_for = ("seeding",)
    cause = "process_alike"
    where = "process"

    def __init__(self):
        self.seed(0)


class SeedOfTheProcess(Plain):
    """A seed is mixed with the number of the process: the same one gives other masks elsewhere."""

    meant_for = ("seeding",)
    cause = "process_unlike"
    where = "process"

    def generator(self, seed):
        return super().generator(None if seed is None else [seed, os.getpid()])


class RanksAlike(Plain):
    """In a process that another one started, seeds are rounded down to even ones: ranks have one mask."""

    meant_for = ("streams:process", "no_stretch_twice")
    cause = "process_again"
    where = "process"

    def generator(self, seed):
        started = sys.argv[0].endswith("other_process.py")
        return super().generator(seed // 2 if started and seed is not None else seed)


class MovesAtZero(Plain):
    """A call at p = 0 moves the generator on."""

    meant_for = ("seeding",)
    cause = "draws_in:zero"

    def training_at_0(self, shape):
        self.uniform(shape)
        return super().training_at_0(shape)


class OnInEvaluation(Plain):
    """Dropout stays on in evaluation: patrick-kidger/equinox#288."""

    meant_for = ("evaluation",)
    cause = "dropping"

    def noise_in_evaluation(self, shape, p):
        return self.noise(self.draw(shape, p), p, "float32")


class ScaledInEvaluation(Plain):
    """Weights are scaled by 1 − p in evaluation, as if they hadn't been in training."""

    meant_for = ("evaluation",)
    cause = "scaling"

    def noise_in_evaluation(self, shape, p):
        return np.full(shape, 1 - p)


class OneIsIdentity(Plain):
    """At p = 1 nothing is dropped."""

    meant_for = ("endpoints",)
    cause = "keeps_at_one"

    def training_at_1(self, shape):
        return np.ones(shape, bool)

    def factor(self, p, dtype):
        return super().factor(p, dtype) or 1.0


class NoneOverNone(Plain):
    """At p = 1 what is dropped is 0/0."""

    meant_for = ("endpoints",)
    cause = "undefined_at_one"

    def factor(self, p, dtype):
        return super().factor(p, dtype) or float("nan")


class Clipped(Plain):
    """p below 0 and above 1 is clipped."""

    meant_for = ("arguments",)
    cause = "takes:negative"

    def check(self, p):
        pass

    def draw(self, shape, p):
        return super().draw(shape, min(max(p, 0), 1))


# Values


class DropsValues(Plain):
    """Elements of values are dropped, in place of weights."""

    meant_for = ("slices", "neighbours:128")
    cause = "elsewhere:values"

    def attention(self, q, k, v, p, causal, train):
        if not train or not 0 < p < 1:
            return super().attention(q, k, v, p, causal, train)
        noise = self.noise(self.draw(v.values.shape, p), p, v.dtype)
        given = Array(v.values * noise, v.dtype, part=v.part)
        out = super().attention(q, k, given, p, causal, False)

        def back(ct):
            return [(x, gradient * noise if x is given else gradient) for x, gradient in out.back(ct)]

        return Array(out.values, out.dtype, back)


class DropsOutput(Plain):
    """The output is dropped, in place of weights."""

    meant_for = ("slices", "neighbours:1")
    cause = "elsewhere:output"

    def attention(self, q, k, v, p, causal, train):
        if not train or not 0 < p < 1:
            return super().attention(q, k, v, p, causal, train)
        out = super().attention(q, k, v, p, causal, False)
        noise = self.noise(self.draw(out.values.shape, p), p, out.dtype)
        return Array(rounded(out.values * noise, out.dtype), out.dtype, lambda ct: out.back(ct * noise))


class NoScale(Plain):
    """What is kept is not scaled."""

    meant_for = ("outcomes",)
    cause = "scale:none"

    def factor(self, p, dtype):
        return 1.0


class ScaledNarrow(Plain):
    """1 − p is formed in bfloat16."""

    meant_for = ("outcomes",)
    cause = "scale:bfloat16"

    def factor(self, p, dtype):
        return 1 / rounded(np.array(1 - p), "bfloat16").item()


class Renormalised(Plain):
    """Weights are normalised again after some were dropped."""

    meant_for = ("outcomes",)
    cause = "renormalised"

    def dropped(self, weights, noise):
        left = weights * (noise > 0)
        return left / np.maximum(left.sum(axis=-1, keepdims=True), 1e-30)


class ScoresDrop(Plain):
    """Scores are dropped before the softmax, to 0."""

    meant_for = ("outcomes",)
    cause = "scores_dropped"

    def dropped(self, weights, noise):
        scores = np.log(np.maximum(weights, 1e-30)) * noise
        return self.softmax(scores, weights > 0)


class CausalAfterwards(Plain):
    """The causal mask hides weights after they were normalised over all keys."""

    meant_for = ("outcomes",)
    cause = "hidden_afterwards"

    def softmax(self, scores, seen):
        return super().softmax(scores, np.ones_like(seen)) * seen


class Leaks(Plain):
    """Under a causal mask dropout scales what is hidden as well: the key after a query shows."""

    meant_for = ("outcomes",)
    cause = "leaks"

    def seen(self, queries, keys, causal):
        return np.tril(np.ones((queries, keys), bool), 1) if causal else super().seen(queries, keys, causal)


class DependsOnScores(Plain):
    """The generator is keyed by the scores: queries other than zero get another mask."""

    meant_for = ("replayed",)
    cause = "depends_on_scores"

    def mask(self, shape, p, q, k):
        mask = self.draw(shape, p)
        return ~mask if (q * q).sum() * (k * k).sum() else mask


class WrongScale(Plain):
    """Scores are divided by the number of channels, not by its root."""

    meant_for = ("replayed",)
    cause = "score_scale:channels"

    def score_scale(self, channels):
        return 1 / channels


class Promotes(Plain):
    """The output is float32, whatever was given."""

    meant_for = ("dtype",)
    cause = "promotes"

    def result(self, out, dtype, back):
        return Array(rounded(out, dtype), "float32", back)


class Writes(Plain):
    """Values are scaled in place."""

    meant_for = ("purity",)
    cause = "writes"

    def attention(self, q, k, v, p, causal, train):
        out = super().attention(q, k, v, p, causal, train)
        if train:
            v.values *= 1.5
        return out


# Contexts


class FrozenWhenCompiled(Plain):
    """A compiled function keeps its first mask."""

    meant_for, where = ("calls:0", "no_mask_twice"), "compile"
    cause = "one_mask"

    def compile(self, fn):
        state = copy.deepcopy(self.random)

        def compiled(x):
            after, self.random = self.random, copy.deepcopy(state)
            out = fn(x)
            self.random = after
            return out

        return compiled


class CallsMerged(Compiled):
    """In a compiled function two calls on the same array are taken for one."""

    meant_for, where = ("no_mask_twice", "no_stretch_twice"), "fused"
    cause = "merged"

    def attention(self, q, k, v, p, causal, train):
        if self.states is not None:
            pytorch.set_state(self.states.setdefault(v.untyped_storage().data_ptr(), pytorch.get_state()))
        return super().attention(q, k, v, p, causal, train)


class Attended(torch.autograd.Function):
    """Weights with noise, times values; the backward pass may have another noise."""

    @staticmethod
    def forward(ctx, weights, values, noise, back):
        ctx.save_for_backward(weights, values, back)
        return (weights * noise) @ values

    @staticmethod
    def backward(ctx, ct):
        weights, values, back = ctx.saved_tensors
        return ct @ values.mT * back, (weights * back).mT @ ct, None, None


class BackwardOfTheFirst(Compiled):
    """In a compiled function the backward pass of each call has the mask of the first."""

    meant_for, where = ("gradient:values", "gradient:queries", "gradient:keys"), "fused"
    cause = "drawn_again"

    def attention(self, q, k, v, p, causal, train):
        if self.states is None or not train:
            return super().attention(q, k, v, p, causal, train)
        noise = (torch.rand(*q.shape[:3], k.shape[2]) >= p).to(q.dtype) / (1 - p)
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
        return Attended.apply(weights, v, noise, self.states.setdefault("noise", noise))


class RowsShare(Plain):
    """One mask for all rows of a mapped call."""

    meant_for, where = ("calls:0", "no_mask_twice"), "vmap"
    cause = "mapped_rows"

    def vmap(self, fn):
        def mapped(x):
            before, rows = self.random, []
            for row in x.values:
                self.random = copy.deepcopy(before)
                rows.append(fn(Array(row, x.dtype)))
            return Stacked(rows)

        return mapped


class CheckpointDraws(Plain):
    """A checkpoint draws again for its backward pass."""

    meant_for, where = ("gradient:values", "gradient:queries", "gradient:keys"), "checkpoint"
    cause = "drawn_again"

    def before_again(self, before):
        return super().generator(None)


class ThreadsAlike(Plain):
    """Each thread begins with the same numbers."""

    meant_for, where = ("streams:thread", "no_mask_twice"), "thread"
    cause = "one_mask"

    def seed(self, value):
        super().seed(value)
        self.home, self.value = threading.get_ident(), value

    def draw(self, shape, p):
        if threading.get_ident() == self.home:
            return super().draw(shape, p)
        return self.generator(self.value).random(shape) >= p


class LayerStaysOn(Plain):
    """A layer drops in evaluation."""

    meant_for, where = ("evaluation",), "module"
    cause = "dropping"

    def module(self, op, p):
        layer = super().module(op, p)
        layer.eval = layer.train
        return layer
