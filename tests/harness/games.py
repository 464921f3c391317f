"""Dice with cards: a family with parameters of its own, no dtype, no shape, no gradient, and evidence of its own."""

from types import MappingProxyType

from cards import DEALS, Cards, Honest, Marked

from keeprate.suite import Case, Picture, Tally, law


@law(promise="Every face comes up alike.", catches=("a loaded die",), blind_to=("order",), source="a die")
def faces(rolls):
    """Counts each face."""
    counts, sides = rolls
    return Tally([str(face + 1) for face in range(sides)], counts, [1 / sides] * sides)


class Games(Cards):
    name = "games"
    laws = (*Cards.laws, faces)
    weights = MappingProxyType({"aces": 0.5, "faces": 0.5})
    functions = ("seed",)

    def plan(self, profile):
        yield from super().plan(profile)
        for sides in (6, 20):
            finding = f"roll/faces/-/sides{sides}/-/table"
            yield Case("roll", "-", {"sides": sides}, (), "table", "rolls", 40 * DEALS, None, (finding,))

    def sample(self, case, backend, seed):
        if case.op == "deal":
            yield from super().sample(case, backend, seed)
            return
        backend.seed(seed)
        sides = case.parameters["sides"]
        for _ in range(case.draws // DEALS):
            rolls = [backend.roll(sides) for _ in range(DEALS)]
            yield [rolls.count(face) for face in range(sides)], sides

    def shrink(self, case, others, broken):
        (name,) = case.parameters
        for number in range(2, case.parameters[name]):
            smaller = case.replace(parameters={name: number})
            if broken(smaller):
                yield smaller
                return

    def picture(self, case, backend, seed):
        if case.op == "deal":
            return None
        backend.seed(seed)
        rolls = [backend.roll(case.parameters["sides"]) for _ in range(40)]
        return Picture("rolls; dark is the first face", ("".join(str(int(face == 0)) for face in rolls),))

    def demonstrate(self, case, law, seed):
        call = f"backend.{case.op}({next(iter(case.parameters.values()))})"
        return f"def show(backend):\n    backend.seed({seed})\n    print([{call} for _ in range(5)])\n"


class Fair(Honest):
    """Rolls dice as well."""

    def roll(self, sides):
        return self.random.randrange(sides)


class Loaded(Marked, Fair):
    """The first face of a die comes up too often, and an ace comes first too often."""

    def roll(self, sides):
        return 0 if self.random.random() < 0.1 else super().roll(sides)
