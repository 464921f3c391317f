"""How the tests of this folder judge a backend that they hold: in this process, by some of the suite's promises."""

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.workers.pool import InProcess


def judged(backend, wanted=lambda finding: True, *, profile="smoke", **asked):
    request = ask("", profile=profile, suite="attention", **asked).alone()
    request = request.among({text: one for text, one in request.promises.items() if wanted(one.id)})
    verdict = answer(request, InProcess(backend, request.suite, request.names))
    print(f"seed = {verdict.seed}")
    return verdict
