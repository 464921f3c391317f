"""`python -m keeprate`: the same as the console script."""

from keeprate.harness.commands.entry import main

main()
