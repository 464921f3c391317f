"""What all findings of a law show together: the guarantee, by enumeration; what is told of it, and where."""

import functools
import json
import math
import shlex
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest, multinomial

from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.evidence.together import Together
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.standing import note_night, standing
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.machine import described

PLACES = (0.3, 0.5, 0.9)  # rates of independent tallies of two cells
HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
ID = "-/fair/-/-/-/-"


@functools.cache  # enumerations look at the same few again and again
def rate(kept, draws, q, within=0.0):
    return Tally(("kept", "dropped"), (kept, draws - kept), (q, 1 - q), departure="rate", within=(within,))


def together(tallies, ways=1):
    return Together({"law": tallies}, ways)


def outcomes(*draws):
    """What may come of each place, and the chance of it."""
    for kept in product(*(range(n + 1) for n in draws)):
        yield kept, math.prod(binom.pmf(k, n, q) for k, n, q in zip(kept, draws, PLACES, strict=True))


@pytest.mark.parametrize("draws", [each for each in product((0, 5), repeat=3) if any(each)])
def test_e_has_mean_one_whichever_places_are_drawn(draws):
    mean = 0.0
    for kept, chance in outcomes(*draws):
        tallies = [rate(k, n, q) for k, n, q in zip(kept, draws, PLACES, strict=True)]
        e = 10 ** together(tallies).log10_e
        assert e == pytest.approx(10 ** together([one for one in tallies if one.n]).log10_e)
        mean += chance * e
    assert mean == pytest.approx(1, abs=1e-6)


def test_e_has_mean_one_where_cells_are_many_and_places_have_groups():
    q, mean = (0.25, 0.5, 0.25), 0.0
    rows = [row for row in product(range(4), repeat=3) if sum(row) == 3]
    for one, two, three in product(rows, repeat=3):
        tallies = [Tally(("both", "one", "none"), (one, two), q), Tally(("both", "one", "none"), three, q)]
        mean += math.prod(multinomial.pmf(row, 3, q) for row in (one, two, three)) * 10 ** together(tallies).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("planned", [2, 5])
def test_e_has_mean_one_where_a_law_counts_the_same_draws_in_several_ways(planned):
    """Two masks of four entries each, whose entries and pairs are counted; the other ways of the plan see nothing."""
    mean, q = 0.0, (0.7, 0.4)
    for entries in product((1, 0), repeat=8):
        masks = np.reshape(entries, (2, 4))
        chance = math.prod(k ** m.sum() * (1 - k) ** (4 - m.sum()) for m, k in zip(masks, q, strict=True))
        pairs = [np.bincount(2 - mask[::2] - mask[1::2], minlength=3) for mask in masks]
        ways = {
            "entries": [rate(mask.sum(), 4, k) for mask, k in zip(masks, q, strict=True)],
            "pairs": [
                Tally(("both", "one", "none"), row, (k * k, 2 * k * (1 - k), (1 - k) ** 2))
                for row, k in zip(pairs, q, strict=True)
            ],
        }
        mean += float(chance) * 10 ** Together(ways, planned).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("level", [1.2, 2.0, math.inf])
def test_e_has_mean_one_where_the_next_place_and_the_end_are_chosen_by_what_was_seen(level):
    """Nights, by turns and merged: each draw is at the place that is furthest from its promise, until e is large."""
    mean = 0.0
    for drawn in product((1, 0), repeat=8):
        counts, chance = [[0, 0] for _ in PLACES], 1.0
        for kept in drawn:
            if together([rate(k, n, q) for (k, n), q in zip(counts, PLACES, strict=True)]).log10_e >= math.log10(level):
                chance *= 0.5  # what would have come then is not looked at
                continue
            off = [abs(k - n * q) if n else 1.0 for (k, n), q in zip(counts, PLACES, strict=True)]
            place = int(np.argmax(off))
            counts[place][0] += kept
            counts[place][1] += 1
            chance *= PLACES[place] if kept else 1 - PLACES[place]
        mean += chance * 10 ** together([rate(k, n, q) for (k, n), q in zip(counts, PLACES, strict=True)]).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("truth", [0.25, 0.28, 0.35])
def test_e_has_mean_one_at_most_at_every_rate_that_is_promised(truth):
    n, mean = 12, 0.0
    for one, two in product(range(n + 1), repeat=2):
        chance = binom.pmf(one, n, truth) * binom.pmf(two, n, 0.5)
        mean += chance * 10 ** together([rate(one, n, 0.3, within=0.05), rate(two, n, 0.5)]).log10_e
    assert mean <= 1 + 1e-6


@pytest.mark.parametrize("level", [0.3, 0.1, 0.03])
def test_to_put_together_what_is_kept_alone_costs_no_more_than_the_shares(level):
    false_alarms = 0.0
    for kept, chance in outcomes(9, 9, 9):
        tallies = [rate(k, 9, q) for k, q in zip(kept, PLACES, strict=True)]
        sound = [one for one in tallies if 10**one.log10_e < 1 / level]
        if len(sound) < len(tallies) or 10 ** together(sound).log10_e >= 1 / level:
            false_alarms += chance
    assert false_alarms <= level * (len(PLACES) + 1)


def test_evidence_of_other_cells_counts_and_the_first_ones_are_told():
    pairs = Tally(("both", "one", "none"), (30, 40, 30), (0.25, 0.5, 0.25))
    both = together([rate(70, 100, 0.5), pairs])
    ratios = rate(70, 100, 0.5).ratios + pairs.ratios
    assert both.log10_e == pytest.approx(float(np.log10(np.exp(ratios).mean())))
    assert (both.n, both.where) == (100, "law, in 1 places together, kept")


def drawn(random, off, draws, rates):
    """A tally of independent groups, which are as good as tallies."""
    kept, q = random.binomial(draws, rates + off), np.asarray(rates)
    return Tally(("kept", "dropped"), np.stack([kept, draws - kept], 1), np.stack([q, 1 - q], 1), departure="rate")


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_called_detectable_is_caught(sign, fresh_seed):
    random, draws, level = np.random.default_rng(fresh_seed), 10**6, 1e-9
    main, ends = np.tile([0.1, 0.3, 0.5, 0.9], 40), np.full(40, 0.999)  # where no change of this size is slight
    size = together([drawn(random, 0, draws, main), drawn(random, 0, draws, ends)]).detectable(level)
    assert size < 0.3 * drawn(random, 0, draws, np.array([0.5])).detectable(level)
    caught = sum(
        together([drawn(random, sign * size, draws, main), drawn(random, 0, draws, ends)]).log10_e >= 9
        for _ in range(300)
    )
    assert binomtest(caught, 300, 0.99, alternative="less").pvalue > 1e-6


def test_the_estimate_is_of_all_draws_and_its_interval_holds_the_promise(fresh_seed):
    """Fails once in a million."""
    random = np.random.default_rng(fresh_seed)
    all_of_them = together([drawn(random, 0, 10**5, np.array([0.1, 0.3, 0.5])) for _ in range(20)])
    assert all_of_them.n == 20 * 3 * 10**5
    assert all_of_them.expected == pytest.approx(0.3)
    low, high = all_of_them.interval(1e-6)
    assert low <= 0.3 <= high
    assert all_of_them.where == "law, in 60 places together, kept"


def test_nothing_drawn_says_nothing():
    nothing = together([rate(0, 0, 0.5), rate(0, 0, 0.3)])
    assert nothing.log10_e == pytest.approx(0, abs=1e-12)
    assert nothing.detectable(1e-9) == 1.0


# In a verdict


@pytest.fixture
def slightly_bent(keeprate):
    """Judges a backend whose coins are all off by so little that none shows it alone."""
    suite = ("--suite", HERE / "coin_together.py", "--profile", "quick", "--seed", "7")
    return lambda command, *more: keeprate(command, "--backend", f"{COINS}:SlightlyBent", *suite, *more)


def statuses(document):
    return {finding["id"]: finding["status"] for finding in document["findings"] if finding["status"] != "kept"}


def test_what_none_shows_alone_is_broken_and_told(slightly_bent, tmp_path, verdict):
    run = slightly_bent("gate", "--json", "v.json")
    assert run.code == 1
    document = verdict(tmp_path / "v.json")
    assert statuses(document) == {ID: "broken"}
    (finding,) = (one for one in document["findings"] if one["id"] == ID)
    assert document["leads"] == [ID]
    assert finding["rank"] == 1
    assert finding["threshold_log10_e"] == 7
    assert (finding["op"], finding["n"], finding["detail"]) == (
        "-",
        800_000,
        {"where": "fair, in 4 places together, heads"},
    )
    assert finding["replay"].startswith("keeprate gate --backend ")
    command = run.out[run.out.index("  keeprate gate") : run.out.index("operator ")]
    again = shlex.split(command.replace("\\\n", " "))
    assert again == shlex.split(finding["replay"])
    (row,) = (line for line in run.out.splitlines() if line.startswith("all together"))
    assert row.split()[2:6] == ["0", "1", "-", "0.8"]
    assert "keeps 6 of 7 promises" in run.out


def test_a_part_of_the_plan_is_not_put_together(slightly_bent, tmp_path, verdict):
    assert slightly_bent("gate", "--ops", "toss", "--json", "v.json").code == 0
    assert {one["op"] for one in verdict(tmp_path / "v.json")["findings"]} == {"toss"}


def test_it_can_be_known_and_what_is_known_is_not_put_together(slightly_bent, tmp_path, verdict):
    (tmp_path / "list").write_text("-/fair/*  # all of them\n")
    run = slightly_bent("gate", "--known", "list")
    assert (run.code, f"known deviation: {ID} (all of them)" in run.out, run.err) == (0, True, "")
    (tmp_path / "list").write_text("*/fair/*/p0.5/*  # these\n")
    assert slightly_bent("gate", "--known", "list", "--json", "v.json").code == 1
    (finding,) = (one for one in verdict(tmp_path / "v.json")["findings"] if one["id"] == ID)
    assert finding["n"] == 400_000
    (tmp_path / "list").write_text("t*/fair/*  # these\n*/p0.5/*  # and those\n")
    run = slightly_bent("gate", "--known", "list")
    assert (run.code, "unreadable: 1 finding, known deviations cover what would be" in run.out) == (0, True), run.out
    assert slightly_bent("gate", "--write-known", "written").code == 1
    assert slightly_bent("gate", "--known", "written").code == 0


def test_pytest_fails_though_no_item_does(slightly_bent, real_pytest, tmp_path, verdict):
    chosen = "--backend", f"{COINS}:SlightlyBent", "--suite", HERE / "coin_together.py", "--profile", "quick"
    run = real_pytest(*chosen, "--seed", "7", "--json", tmp_path / "pytest.json", "-p", "no:xdist")
    assert (run.code, "6 passed" in run.out) == (1, True)
    slightly_bent("gate", "--json", "gate.json")
    gate, by_pytest = (verdict(tmp_path / f"{name}.json") for name in ("gate", "pytest"))
    assert gate.pop("run") and by_pytest.pop("run")
    assert gate == by_pytest


def test_a_table_of_frameworks_has_a_column_for_it(keeprate, tmp_path):
    names = f"{COINS}:SlightlyBent,{COINS}:Fair"
    chosen = "--suite", HERE / "coin_together.py", "--out", "m.md", "--seed", "7"
    assert keeprate("matrix", "--backends", names, *chosen).code == 1
    text = (tmp_path / "m.md").read_text(encoding="utf-8")
    assert "| promise | toss | spin | all together |" in text
    assert "| fair | 2 | 2 | **1 broken** |" in text
    assert "| 2 | 6 of 7 |" in text


def test_nights_remember_it_and_a_page_shows_it(tmp_path, schema):
    """It is judged by all that a ledger holds, and stays broken whatever comes later."""
    asked = ask(f"{COINS}:SlightlyBent", suite=str(HERE / "coin_together.py"), profile="quick")
    offer = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
    with Ledger(tmp_path / "night.db", create=True) as book:
        for extra in (5, 5, -11):  # standard errors of what was not seen before
            run = book.begin(asked, (offer, None), described(), kind="nightly", workers=1)
            for case in {case.id: case for promise in asked.plan.values() for case in promise.cases}.values():
                n, p = 100_000, case.parameters["p"]
                heads = round(n * p + extra * math.sqrt(n * p * (1 - p)) / math.sqrt(2))
                tally = Tally(("heads", "tails"), (heads, n - heads), (p, 1 - p), departure="rate")
                fair, lands = case.findings
                book.add(run, Result("backend", case.id, {fair: tally, lands: passed(n)}), 1.0)
            note_night(book, run, standing(asked.given(offer), book, run.subjects, {}).verdict)
        document = json.loads(json.dumps(tell(book, asked.suite_name)))
    schema.validate(document)
    (finding,) = (one for one in document["findings"] if one["id"] == ID)
    (row,) = document["ledger"]["history"][ID]  # of one night
    assert finding["status"] == row["status"] == "broken"
    assert row["n"] == 4 * 200_000
    assert statuses(document) == {ID: "broken"}
    page = find("pages", group="keeprate.reports", kind="report").render(document, None)["index.html"]
    assert "all together / fair" in page
