"""Pages that are made from the code: commands, laws, and ids of findings."""

import inspect
from collections import Counter

import click
from mkdocs.structure.files import File

from keeprate.harness.commands.cli import cli
from keeprate.harness.protocol.suite import PROFILES, load_suite

SUITES = ("dropout", "attention")


def on_files(files, config):
    """The files of the site, with the generated ones."""
    for name, text in (("commands", commands()), ("laws", laws()), ("ids", ids())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands():
    """Every command: what it does, examples, and its options."""
    lines = [
        "# Command line",
        "",
        "Made from the code: `keeprate COMMAND --help` says the same. pytest has the same options ([CI](../ci.md)).",
        "",
    ]
    return "\n".join([*lines, *command("keeprate", cli, None)])


def command(name, of, parent):
    """The lines of a command, and of those in it."""
    context = click.Context(of, parent, name, **of.context_settings)
    path = context.command_path
    level = "#" * path.count(" ")
    yield f"##{level} {path} {{ #{path.replace(' ', '-')} data-toc-label='{name}' }}"
    for paragraph in (*inspect.cleandoc(of.help).split("\n\n"), of.epilog or ""):
        as_it_is = paragraph.startswith("\b\n")
        yield from ("", f"```text\n{inspect.cleandoc(paragraph[2:])}\n```" if as_it_is else paragraph)
    yield from ("", f"```text\n{' '.join([path, *of.collect_usage_pieces(context)])}\n```", "")
    records = filter(None, (one.get_help_record(context) for one in of.get_params(context)))
    yield from ("| option | what it does |", "|---|---|")
    for option, text in records:
        if text:  # an argument has none
            yield f"| `{option}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |"
    yield ""
    for inner in sorted(getattr(of, "commands", {})):
        yield from command(inner, of.commands[inner], context)


def laws():
    """Every law of our suites: promise, source, what breaks it, what it is blind to."""
    lines = ["# Laws", "", "Made from the code. `keeprate explain LAW` prints the same, and where a law looks.", ""]
    for name in SUITES:
        suite = load_suite(name)
        lines += [f"## Suite `{name}`", ""]
        for law in suite.by_name.values():
            share = suite.weight(law.name)
            lines += [
                f"### {law.name} {{ #{name}-{law.name} }}",
                "",
                law.promise,
                "",
                f"- **Breaks it:** {'; '.join(law.catches)}.",
                f"- **Blind to:** {'; '.join(law.blind_to)}.",
                f"- **Evidence:** {f'an e-value, with {share:.1%} of the error budget' if share else 'exact'}.",
                f"- **Source:** {law.source}.",
                "",
            ]
    return "\n".join(lines)


def ids():
    """What an id is made of, and how many there are of each law."""
    lines = [
        "# Ids of findings",
        "",
        "Made from the code. An id is stable, and the same for every backend: it serves `keeprate replay`, a list of "
        "known deviations (expected failures), pytest's `-k`, and the JSON.",
        "",
        "```text",
        "op/law/dtype/parameters/shape/context",
        "dropout/keep_rate/float32/p0.3/64x1024/eager",
        "```",
        "",
        "A part on which a finding doesn't depend is `-`. What follows a colon in the name of a law says which pairs, "
        "blocks or gradients it counts.",
        "",
    ]
    for name in SUITES:
        suite = load_suite(name)
        plans = {profile: [promise.id for promise in suite.promises(profile).values()] for profile in PROFILES}
        counts = {profile: Counter(id.family for id in plan) for profile, plan in plans.items()}
        lines += [f"## Suite `{name}`", "", "| law | an id | " + " | ".join(PROFILES) + " |"]
        lines += ["|---" * (2 + len(PROFILES)) + "|"]
        for law in suite.by_name:
            first = next((str(id) for plan in plans.values() for id in plan if id.family == law), "-")
            numbers = " | ".join(f"{counts[profile][law]:,}" for profile in PROFILES)
            lines.append(f"| [{law}](laws.md#{name}-{law}) | `{first}` | {numbers} |")
        lines += ["| **all** | | " + " | ".join(f"{len(plans[profile]):,}" for profile in PROFILES) + " |", ""]
        contexts = sorted({id.context for plan in plans.values() for id in plan})
        lines += [f"Contexts: {', '.join(f'`{context}`' for context in contexts)}.", ""]
    return "\n".join(lines)
