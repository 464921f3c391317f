"""The suite of attention: sound backends conform, and each mutant is failed by the law that is meant for it."""

import contextlib
import inspect
import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.case import FindingId
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import PROFILES, load_suite
from keeprate.specs import other_processes
from keeprate.specs.attention.cases import DEPARTURES, MAIN, WEIGHTS
from keeprate.specs.attention.hypotheses import every
from keeprate.specs.attention.hypotheses.passes import Passes
from keeprate.suite import Unreadable

HERE = Path(__file__).parent
NUMPY, FAULTY = (find(str(HERE / f"{name}.py"), group="", kind="module") for name in ("attention_in_numpy", "faulty"))
SOUND = (NUMPY.Plain, NUMPY.Philox, NUMPY.Thresholds)
MUTANTS = [item for item in vars(FAULTY).values() if isinstance(item, type) and "meant_for" in vars(item)]
SUITE = load_suite("attention")
PROCESS_LAWS = ("outcomes", "seeding", "streams:process", "no_stretch_twice")
TRIES = 5  # where one rate alone is off, which is further from its formula than what names it once in twenty: 3·10⁻⁷
judged = partial(find(str(HERE / "judging.py"), group="", kind="module").judged, profile="quick", ops=["attention"])
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def other_processes_end():
    """Those that were asked would live as long as this one."""
    yield
    for process in (one for pair in other_processes._pairs.values() for one in pair):
        process.end()


@pytest.mark.parametrize("backend", SOUND)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sound_backend_conforms(backend, dtype):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    verdict = judged(backend(), dtypes=[dtype])
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict if finding.context not in ("fused", "process")} == {"kept"}


@pytest.mark.parametrize("name", ["attention_in_numpy.py:Philox", "torch", "mlx"])
def test_what_a_sound_backend_draws_in_other_processes_conforms(name, fresh_seed):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    backend = load_backend(f"{HERE}/{name}" if ".py" in name else name, SUITE)
    verdict = judged(backend, lambda one: one.context == "process", seed=fresh_seed)
    assert verdict.conforms, str(verdict)
    assert {finding.law: finding.status for finding in verdict} == dict.fromkeys(PROCESS_LAWS, "kept")


def test_a_sound_backend_conforms_where_its_arrays_stand_in_a_network(fresh_seed):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    verdict = judged(NUMPY.Compiled(), lambda one: one.context == "fused", dtypes=["float32"], seed=fresh_seed)
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict} == {"kept"}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_failed_by_the_law_meant_for_it_and_its_cause_is_told(mutant):
    dtypes = ["float16"] if "dtype" in mutant.meant_for else ["float32"]
    where, families = getattr(mutant, "where", ""), {law.partition(":")[0] for law in mutant.meant_for}
    contexts = {where} if where else {"eager", "grad"}
    for _ in range(TRIES if mutant is FAULTY.DrawnNarrow else 1):
        # Another process can only load what has a name.
        backend = load_backend(f"{HERE}/faulty.py:{mutant.__name__}", SUITE) if where == "process" else mutant()
        verdict = judged(backend, lambda one: one.family in families and one.context in contexts, dtypes=dtypes)
        broken = {finding.law for finding in verdict if finding.status == "broken"}
        broken |= {law.partition(":")[0] for law in broken}
        assert broken.intersection(mutant.meant_for), str(verdict)
        if verdict.causes:
            break
    assert verdict.causes and verdict.causes[0].id == mutant.cause, str(verdict)


@pytest.mark.parametrize("backend", SOUND)
@pytest.mark.parametrize("context", ["eager", "grad", "vmap", "thread"])
def test_no_hypothesis_accuses_a_sound_backend(backend, context, fresh_seed):
    """Fails with probability 1e-5 or so when nothing is wrong: the least of pairs is 64, all alike with 2⁻⁶⁴."""
    asked = every.asked_of("attention")
    places = [(every.SQUARE, more, asked) for more in every.BESIDE]
    if context in ("eager", "grad"):
        large = [one for one in asked if one.name in every.IN_LARGE]
        places += [(every.LARGE, {}, large), (every.HIDDEN, {"causal": 1}, large)]
        places += [(shape, {}, [one for one in asked if one.name == "shared_axis"]) for shape in every.LONE.values()]
    if context == "eager":
        places.append((every.SHAPE, {}, [one for one in asked if one.kind != "gradient"]))
    for shape, more, some in places:
        case = every.case_of("float32", context, shape, more, some)
        clues = Passes(case, backend(), fresh_seed)
        for one in some:
            for parameter in every.PARAMETERS.get(one.name, [""]):
                with contextlib.suppress(Unreadable):
                    assert not one(clues, str(parameter)).accepted, f"{one.name}:{parameter} at {shape}, {more}"


class OfTheLastCall(NUMPY.Plain):
    """Its backward pass has the noise of the last call, not that of its own."""

    def attended(self, q, k, v, noise, seen):
        self.last = noise
        return super().attended(q, k, v, noise, seen)

    def for_gradient(self, noise, of):
        return self.last if self.last.shape == noise.shape else noise


class UnderACausalMask(NUMPY.Plain):
    def attention(self, q, k, v, p, causal, train):
        self.causal = causal
        return super().attention(q, k, v, p, causal, train)

    def mask(self, shape, p, q, k):
        mask = super().mask(shape, p, q, k)
        return self.shared(mask) if self.causal else mask


class OneForTheBatch(UnderACausalMask):
    def shared(self, mask):
        return np.broadcast_to(mask[:1], mask.shape)


class OneForATile(UnderACausalMask):
    def shared(self, mask):
        return mask[..., np.arange(mask.shape[-1]) % 64]


class HeadsOverlap(UnderACausalMask):
    """A head has as many numbers as half of its weights: its last queries have those of the next head's first."""

    def mask(self, shape, p, q, k):
        batch, heads, queries, keys = shape
        of_each = queries * keys
        step = of_each // 2 if self.causal else of_each
        drawn = self.draw((batch * heads * of_each,), p)
        return drawn[np.arange(batch * heads)[:, None] * step + np.arange(of_each)].reshape(shape)


class OneForHeadsInDecoding(NUMPY.Plain):
    def mask(self, shape, p, q, k):
        mask = super().mask(shape, p, q, k)
        return np.broadcast_to(mask[:, :1], shape) if shape[2] == 1 else mask


class CounterOfTwentyBits(NUMPY.Plain):
    def mask(self, shape, p, q, k):
        return np.resize(super().mask(shape, p, q, k).ravel()[: 1 << 20], shape)


class NoMaximum(NUMPY.Plain):
    """Float32 doesn't hold the exponentials of its scores."""

    def softmax(self, scores, seen):
        with np.errstate(over="ignore", invalid="ignore"):
            weights = np.where(seen, np.exp(scores.astype(np.float32)), 0)
            return weights / weights.sum(axis=-1, keepdims=True)


class OneHeadShares(NUMPY.Plain):
    def mask(self, shape, p, q, k):
        drawn = self.draw((shape[0], 1 if k.shape[1] == 1 else shape[1], *shape[2:]), p)
        return drawn.repeat(shape[1] // drawn.shape[1], axis=1)


class TilesOfQueries(NUMPY.Plain):
    def draw(self, shape, p):
        return super().draw(shape, p)[:, :, [query % 64 for query in range(shape[2])]]


class LaterKeysUnmasked(NUMPY.Plain):
    def for_gradient(self, noise, of):
        noise = noise.copy()
        noise[..., 128:] = 1
        return noise if of == "keys" else super().for_gradient(noise, of)


class LastTileUnscaled(NUMPY.Plain):
    def for_gradient(self, noise, of):
        noise = noise.copy()
        noise[:, :, 160:] = noise[:, :, 160:] != 0
        return noise


class OddTiles(NUMPY.Plain):
    def draw(self, shape, p):
        return super().draw(shape, p)[..., np.arange(shape[3]) % 97]


class LeaksLater(NUMPY.Plain):
    def seen(self, queries, keys, causal):
        seen = super().seen(queries, keys, causal)
        seen[64:, 65:] |= seen[64:, 64:-1]
        return seen


@pytest.mark.parametrize(
    ("backend", "shape", "more", "context", "name", "says"),
    [
        (OneHeadShares, every.SQUARE, {"kv": 1}, "eager", "shared_groups:one", "all heads where keys have one head"),
        (TilesOfQueries, every.LARGE, {}, "eager", "tiles:queries", "the first 64 queries for every tile"),
        (OddTiles, every.LARGE, {}, "eager", "tiles:keys", "the first 97 keys for every tile"),
        (
            LastTileUnscaled,
            every.LARGE,
            {},
            "grad",
            "begins:queries",
            "doesn't scale in its backward pass from query 160",
        ),
        (LaterKeysUnmasked, every.LARGE, {}, "grad", "begins:keys", "from key 128 on"),
        (OneForATile, every.HIDDEN, {"causal": 1}, "eager", "tiles:keys", "every tile of as many, under a causal mask"),
        (OneForTheBatch, every.SQUARE, {"causal": 1}, "eager", "shared_axis:0", "of a batch, under a causal mask"),
        (OneForHeadsInDecoding, every.LONE["query"], {}, "eager", "shared_axis:1", "where there is one query"),
        (CounterOfTwentyBits, every.HUGE, {}, "eager", "wraps", "repeat after 1,048,576 in a call"),
        (NoMaximum, every.SHAPE, {}, "eager", "overflows", "NaN where scores are large"),
        (OfTheLastCall, every.SQUARE, {}, "linearize", "later", "uses the last call's mask in its backward pass, when"),
        (LeaksLater, every.HIDDEN, {"causal": 1}, "eager", "leaks_from", "queries from 64 on"),
    ],
)
@pytest.mark.parametrize("channels", [None, 64])
def test_what_shows_in_some_places_alone_is_named_there(
    backend, shape, more, context, name, says, channels, fresh_seed
):
    family, _, parameter = name.partition(":")
    (one,) = [one for one in every.asked_of("attention") if one.name == family]
    judged = backend()
    judged.head_dim = channels
    account = one(Passes(every.case_of("float32", context, shape, more, [one]), judged, fresh_seed), parameter)
    assert account.accepted, account
    assert says in one.says.format_map(account.given)


class AsManyKeysAsQueries(NUMPY.Plain):
    """In its backward pass it masks as many keys as there are queries."""

    def for_gradient(self, noise, of):
        noise = noise.copy()
        noise[..., noise.shape[2] :] = 1
        return noise


class AsManyQueriesAsKeys(NUMPY.Plain):
    """In its backward pass it masks as many queries as there are keys."""

    def for_gradient(self, noise, of):
        noise = noise.copy()
        noise[:, :, noise.shape[3] :] = 1
        return noise


@pytest.mark.parametrize("backend", [AsManyKeysAsQueries, AsManyQueriesAsKeys])
def test_gradients_are_judged_where_queries_and_keys_are_of_different_number(backend, fresh_seed):
    verdict = judged(
        backend(), lambda one: one.family == "gradient" and one.context == "grad", dtypes=["float32"], seed=fresh_seed
    )
    broken = {finding.id for finding in verdict if finding.status == "broken"}
    assert broken == {f"attention/gradient:{name}/float32/-/-/grad" for name in ("values", "queries", "keys")}


@pytest.mark.parametrize(
    ("backend", "finding"),
    [
        (OfTheLastCall, "gradient:values/float32/-/-/linearize"),
        (OneForTheBatch, "neighbours:half/float32/-/2x2x63x63:causal1/eager"),
        (OneForATile, "all_lags/float32/-/1x2x161x161:causal1filled1/eager"),
        (HeadsOverlap, "all_lags/float32/-/1x2x161x161:causal1filled1/eager"),
        (OneForHeadsInDecoding, "neighbours:333/float32/-/3x4x1x333/eager"),
        (CounterOfTwentyBits, "neighbours:1048576/float32/-/2x5x512x512/eager"),
        (NoMaximum, "evaluation/float32/-/-/eager"),
    ],
)
def test_what_shows_in_one_place_alone_is_failed_there(backend, finding, fresh_seed):
    wanted = f"attention/{finding}"
    verdict = judged(backend(), lambda one: str(one) == wanted, dtypes=["float32"], seed=fresh_seed)
    assert [one.id for one in verdict if one.status == "broken"] == [wanted]


def test_there_are_mutants_enough_and_each_says_what_is_wrong():
    assert len(MUTANTS) >= 25
    assert all(inspect.getdoc(mutant) != inspect.getdoc(mutant.__base__) for mutant in MUTANTS)
    assert {law.partition(":")[0] for mutant in MUTANTS for law in mutant.meant_for} <= set(SUITE.by_name)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_catches_the_departure_that_it_promises(profile):
    for promise in SUITE.promises(profile).values():
        if promise.id.law == "keep_rate" and promise.id.parameters != "-" and promise.cases[0].parameters["p"] in MAIN:
            # Recurrent layers are looked at as `quick` does, at most.
            least = profile if promise.id.op == "attention" or profile == "smoke" else "quick"
            for case in promise.cases:
                assert SUITE.detects(case, 1e-6 * promise.share) <= DEPARTURES[least]


@pytest.mark.parametrize("profile", PROFILES)
def test_shares_stay_within_the_budget_and_a_case_is_one_place(profile):
    assert sum(promise.share for promise in SUITE.promises(profile).values()) <= 1
    assert sum(WEIGHTS.values()) <= 0.9 + 1e-12
    assert max(Counter(case.id for case in SUITE.plan(profile)).values()) == 1


def test_every_law_is_planned_and_every_planned_law_exists():
    families = {FindingId.parse(text).family for case in SUITE.plan("quick") for text in case.findings}
    assert families == set(SUITE.by_name)
    assert set(WEIGHTS) <= families


def test_the_page_says_how_a_mask_is_read_and_every_law_is_on_it():
    page = (HERE.parents[1] / "docs" / "attention.md").read_text(encoding="utf-8")
    asserted, *_, reading = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for block in (asserted.replace("attention)", 'attention, profile="smoke")'), reading):
        exec(compile(block, "docs/attention.md", "exec"), {})  # noqa: S102 - our own page
    exact = [name for name in SUITE.by_name if name not in WEIGHTS]
    assert [name for name in exact if f"`{name}" not in page] == []


def test_a_seed_that_can_not_be_judged_for_want_of_masks_is_said():
    verdict = judged(FAULTY.NoScale(), lambda one: one.family in ("outcomes", "seeding"), dtypes=["float32"])
    seeding = [finding for finding in verdict if finding.law == "seeding" and finding.context != "process"]
    assert {finding.status for finding in seeding} == {"unreadable"}
    assert all("no mask could be read" in finding.detail["reason"] for finding in seeding)
