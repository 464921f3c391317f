"""How tests ask hypotheses of the dropout suite about a backend, without what broke."""

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.accounts import names_of
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every
from keeprate.specs.dropout.hypotheses.clues import standard

SUITE = load_suite("dropout")
BY_NAME = {one.name: one for one in SUITE.hypotheses}


def said_of(made, op, context, names, seed, shape=None):
    """What those of some hypotheses say that are accepted; a name without its parameter is asked with all of them."""
    study, shape = "clues_of_gradient" if context == "grad" else "clues", shape or standard(CONTRACTS[op])
    if names[0].startswith("fact:"):
        study, shape = names[0].replace("fact:", "clues_of_"), ()
    asked = [text for name in names for text in ([name] if ":" in name else names_of(BY_NAME[name], every.PARAMETERS))]
    case = every._case(op, "float32", context, study, shape, asked)
    result = run(SUITE, made(), Job("backend", case, seed, dict.fromkeys(case.findings)))
    assert not result.error
    accepted = [(text.split("/")[1], one) for text, one in result.evidence.items() if one.accepted]
    return [BY_NAME[name.partition(":")[0]].says.format_map(one.given) for name, one in accepted]
