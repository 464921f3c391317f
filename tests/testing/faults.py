"""Faults of every day, as people write them: each a dropout in PyTorch, and the law that is meant for it."""

import torch

FAULTS = {}  # by name: the function, the operator that it is to be like, the law that it breaks, the cause in words


def breaks(law, cause, like="dropout"):
    def note(fn):
        FAULTS[fn.__name__] = fn, like, law, cause
        return fn

    return note


def checked(x, p):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if not x.is_floating_point():
        raise TypeError(f"{x.dtype} can't be scaled")


def scale(x, p):
    """1/(1 − p) as PyTorch has it: in the dtype of x."""
    return torch.tensor(1 / (1 - float(p)) if p < 1 else 0.0, dtype=x.dtype)


def kept(x, p, shape=None):
    return torch.rand(x.shape if shape is None else shape) >= float(p)


def with_mask(x, p, train, mask=kept):
    """A sound dropout, but for its mask."""
    checked(x, p)
    if not train or p == 0:
        return x * 1
    if p == 1:
        return x * 0
    return x * (mask(x, p).to(x.dtype) * scale(x, p))


def sound(x, p, train):
    return with_mask(x, p, train)


@breaks("outcomes", "doesn't scale kept entries by 1/(1 − p)")
def forgets_the_scale(x, p, train):
    checked(x, p)
    return x * kept(x, p) if train else x * 1


@breaks("outcomes", "scales kept entries by 1/p")
def scales_by_one_over_p(x, p, train):
    checked(x, p)
    return x * (kept(x, p).to(x.dtype) * (1 / float(p))) if train and 0 < p < 1 else with_mask(x, p, train)


@breaks("keep_rate", "keeps with probability p, not 1 − p")
def keeps_with_probability_p(x, p, train):
    return with_mask(x, p, train, lambda x, p: torch.rand(x.shape) < float(p))


@breaks("endpoints", "takes p for the probability of keeping")
def takes_p_for_that_of_keeping(x, p, train):
    checked(x, p)
    return x * (torch.rand(x.shape) < p).to(x.dtype) / p if train and p > 0 else x * (not train)


@breaks("outcomes", "takes p for the probability of keeping", like="alpha_dropout")
def takes_p_for_that_of_keeping_in_alpha_dropout(x, p, train):
    return torch.nn.functional.alpha_dropout(x, 1 - p, train)


@breaks("keep_rate", "drops with probability p + 0.02")
def drops_a_fiftieth_too_much(x, p, train):
    return with_mask(x, p, train, lambda x, p: kept(x, p + 0.02))


@breaks("keep_rate", "rounds p down to a multiple of 1/256")
def draws_bytes(x, p, train):
    return with_mask(x, p, train, lambda x, p: torch.randint(256, x.shape) >= int(256 * float(p)))


@breaks("neighbours", "shares one mask among the rows of a batch (axis 0)")
def shares_its_mask_over_the_batch(x, p, train):
    return with_mask(x, p, train, lambda x, p: kept(x, p, x.shape[1:]).expand(x.shape))


@breaks("neighbours", "draws random numbers that repeat after 256")
def repeats_a_block_of_numbers(x, p, train):
    def mask(x, p):
        return kept(x, p, (256,)).repeat(x.numel() // 256 + 1)[: x.numel()].reshape(x.shape)

    return with_mask(x, p, train, mask)


@breaks("no_mask_twice", "uses the mask of the first call for all later ones")
def seeds_itself_in_every_call(x, p, train):
    torch.default_generator.manual_seed(0)
    return with_mask(x, p, train)


@breaks("seeding", "ignores its seed")
def draws_from_a_generator_of_its_own(x, p, train, own=torch.Generator()):  # noqa: B008
    return with_mask(x, p, train, lambda x, p: torch.rand(x.shape, generator=own) >= float(p))


@breaks("spread", "entries in each call, not each")
def drops_a_fixed_number(x, p, train):
    def mask(x, p):
        order = torch.randperm(x.numel()).reshape(x.shape)
        return order >= round(float(p) * x.numel())

    return with_mask(x, p, train, mask)


@breaks("evaluation", "drops in evaluation")
def drops_in_evaluation_too(x, p, train):
    return with_mask(x, p, train=True)


@breaks("evaluation", "multiplies by 1 − p in evaluation")
def scales_in_evaluation(x, p, train):
    checked(x, p)
    return with_mask(x, p, train) if train else x * (1 - float(p))


@breaks("endpoints", "returns an output of NaN at p = 1")
def divides_by_zero_at_one(x, p, train):
    checked(x, p)
    return x * kept(x, p) / (1 - float(p)) if train else x * 1


@breaks("arguments", "raises nothing, though PyTorch does, where p is NaN or outside")
def takes_any_p(x, p, train):
    return with_mask(x, min(max(p, 0.0), 1.0) if p == p else 0.0, train)


@breaks("purity", "writes to its input")
def writes_to_its_input(x, p, train):
    y = with_mask(x, p, train)
    if train and not x.requires_grad and 0 < p < 1:
        with torch.no_grad():
            x.copy_(y)
    return y


@breaks("gradient", "draws a mask of its own for the gradient")
def draws_again_for_the_gradient(x, p, train):
    return _Again.apply(x, p) if train and 0 < p < 1 else with_mask(x, p, train)


class _Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        ctx.p = p
        return x * (kept(x, p).to(x.dtype) * scale(x, p))

    @staticmethod
    def backward(ctx, ct):
        return ct * (kept(ct, ctx.p).to(ct.dtype) * scale(ct, ctx.p)), None


@breaks("gradient", "masks the gradient and doesn't scale it")
def does_not_scale_the_gradient(x, p, train):
    return _Unscaled.apply(x, p) if train and 0 < p < 1 else with_mask(x, p, train)


class _Unscaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        ctx.mask = kept(x, p).to(x.dtype)
        return x * (ctx.mask * scale(x, p))

    @staticmethod
    def backward(ctx, ct):
        return ct * ctx.mask, None


@breaks("gradient", "takes the gradient's mask from which outputs")
def reads_its_mask_off_the_output(x, p, train):
    return _Read.apply(x, p) if train and 0 < p < 1 else with_mask(x, p, train)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        y = x * (kept(x, p).to(x.dtype) * scale(x, p))
        ctx.read = (y != 0).to(x.dtype) * scale(x, p)
        return y

    @staticmethod
    def backward(ctx, ct):
        return ct * ctx.read, None


@breaks("gradient", "returns a gradient of 0")
def loses_the_gradient(x, p, train):
    return with_mask(x.detach(), p, train)


@breaks("dtype", "returns an output of float64 in place of its")
def returns_float32_in_evaluation(x, p, train):
    return with_mask(x, p, train) if train else with_mask(x, p, train).to(torch.float64)


@breaks("strides", "returns wrong outputs on inputs that lie in memory as step2")
def reads_memory_in_a_row(x, p, train):
    return with_mask(torch.as_strided(x, x.shape, torch.empty(x.shape).stride(), 0), p, train)


@breaks("shape", "raises RuntimeError on empty inputs")
def can_not_be_called_on_nothing(x, p, train):
    x.max()
    return with_mask(x, p, train)


@breaks("constancy", "draws a mask for each element, not for each", like="dropout2d")
def drops_elements_of_channels(x, p, train):
    return with_mask(x, p, train)


@breaks("neighbours", "shares one mask among the channels of a sample", like="dropout2d")
def drops_all_channels_of_a_sample(x, p, train):
    return with_mask(x, p, train, lambda x, p: kept(x, p, (x.shape[0],) + (1,) * (x.dim() - 1)))


@breaks("outcomes", "does ordinary dropout in place of alpha dropout", like="alpha_dropout")
def is_dropout_and_not_alpha_dropout(x, p, train):
    return with_mask(x, p, train)


@breaks("shape", "tears channels on inputs whose first axis has length 1", like="dropout2d")
def takes_a_batch_of_one_for_none(x, p, train):
    front = 3 if x.shape[0] == 1 else 2
    return with_mask(x, p, train, lambda x, p: kept(x, p, (*x.shape[:front], *[1] * (x.dim() - front))))


class _Written(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        ctx.factor = kept(x, p).to(x.dtype) * scale(x, p)
        return x * ctx.factor

    @staticmethod
    def backward(ctx, ct):
        return ct.mul_(ctx.factor), None


@breaks("purity", "writes to the gradient that its backward pass is given")
def writes_the_gradient_over_the_cotangent(x, p, train):
    checked(x, p)
    return _Written.apply(x, p) if train and 0 < p < 1 else with_mask(x, p, train)
