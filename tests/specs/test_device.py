"""Replayed graphs and streams: masks of replays are fresh, and seeds reach them; other backends' plan is as it was."""

import copy
from pathlib import Path

import pytest
import torch

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.pool import InProcess
from keeprate.impl.backends import _torch_on
from keeprate.impl.backends import torch as adapter

NAME = "keeprate.specs.dropout.device"
Plain = find(str(Path(__file__).parents[1] / "mutants" / "plain.py"), group="", kind="module").Plain


class OnDevice(Plain):
    """Plain functions in the place of graphs and streams."""

    dtypes = ("float32",)

    def graph(self, fn):
        return fn

    stream = graph


class OneMask(OnDevice):
    """The random state was captured with the graph: each replay draws the first mask again."""

    def graph(self, fn):
        captured = {}

        def replayed(x):
            self.random = copy.deepcopy(captured.setdefault("random", copy.deepcopy(self.random)))
            return fn(x)

        return replayed


class DeafToSeeds(OnDevice):
    """A graph goes on from the seed at its capture, whatever is seeded between replays."""

    def graph(self, fn):
        own = copy.deepcopy(self.random)

        def replayed(x):
            before, self.random = self.random, own
            out = fn(x)
            self.random = before
            return out

        return replayed


def judged(backend, seed):
    request = ask("", suite=NAME, profile="smoke", ops="dropout,dropout2d", dtypes="float32", seed=seed)
    return answer(request, InProcess(backend, request.suite, request.names))


def test_graphs_and_streams_that_draw_afresh_conform(fresh_seed):
    verdict = judged(OnDevice(), fresh_seed)
    assert verdict.conforms, str(verdict)
    assert {finding.context for finding in verdict if finding.status == "kept"} == {"graph", "stream"}


@pytest.mark.parametrize(("backend", "law"), [(OneMask, "no_mask_twice"), (DeafToSeeds, "seeding")])
def test_a_graph_that_replays_its_mask_or_its_seed_is_caught(backend, law, fresh_seed):
    failing = judged(backend(), fresh_seed).failing
    assert law in {finding.family for finding in failing}
    assert {finding.context for finding in failing} == {"graph"}


def test_a_backend_without_them_has_no_verdict_by_this_suite_and_the_plan_that_it_had_by_the_other(fresh_seed):
    assert judged(Plain(), fresh_seed).verdict == "none"
    contexts = {case.context for profile in ("smoke", "quick") for case in load_suite("dropout").plan(profile)}
    assert not contexts & {"graph", "stream"}


def test_pytorch_offers_them_on_cuda_alone():
    assert not hasattr(adapter, "graph") and not hasattr(adapter, "stream")
    assert _torch_on.placed("cpu", adapter.asarray) == {}


@pytest.mark.accelerator
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no accelerator here")
def test_pytorchs_graphs_and_streams_conform(keeprate):
    run = keeprate("gate", "--suite", NAME, "--backend", "torch", "--device", "cuda", "--profile", "quick")
    assert run.code == 0, run.out + run.err
