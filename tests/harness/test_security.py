"""What SECURITY.md promises of what is executed, and where."""

from pathlib import Path


def test_a_file_of_the_current_folder_hides_no_module_of_ours(console_script, coin, coins, tmp_path):
    for name in ("json.py", "numpy.py", "specs.py", "harness.py"):
        (tmp_path / name).write_text("raise SystemExit(77)\n")
    run = console_script("gate", "--backend", f"{coins}:Fair", "--suite", coin, "--profile", "quick", "-n", "1")
    assert run.code == 0, run.out + run.err


def test_a_file_of_the_current_folder_hides_none_of_our_backends(console_script, backend_file, tmp_path):
    for module in ("impl", "specs", "reports", "harness"):
        (tmp_path / f"{module}.py").write_text(f"raise SystemExit('{module} of the current folder')\n")
    run = console_script("check", backend_file())
    assert run.code == 0, run.out + run.err
    only = ("--profile", "quick", "--ops", "dropout", "--dtypes", "float32", "-n", "1")
    for name in ("mine.py", "numpy"):
        run = console_script("plan", "--backend", name, *only)
        assert run.code == 0, run.out + run.err


def test_a_module_of_the_authors_may_have_the_name_of_one_of_our_folders(console_script, backend_file, tmp_path):
    backend_file(more="\n\nimport harness, impl, specs\nversion = impl.MINE + specs.MINE + harness.MINE\n")
    for module in ("harness", "impl", "specs"):
        (tmp_path / f"{module}.py").write_text("MINE = 'my own '\n")
    run = console_script("check", "mine.py")
    assert run.code == 0, run.out + run.err


def test_a_backend_is_never_loaded_in_the_process_of_the_command(console_script, coin, tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nopen('argv.txt', 'a').write(sys.argv[0] + '\\n')\n")
    assert console_script("gate", "--backend", "mine.py", "--suite", coin, "--profile", "quick", "-n", "1").code == 3
    (argument,) = (tmp_path / "argv.txt").read_text().splitlines()
    assert Path(argument).name == "child_main.py"


def test_a_gate_asks_no_server(python, coin, coins):
    script = f"""
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise SystemExit(f"{{event}} {{arguments}}")
sys.addaudithook(refuse)
from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.workers.resources import Resources
request = ask("{coins}:Fair", suite={coin!r}, profile="quick")
with open_runner(request, Resources(workers=1)) as runner:
    print(answer(request, runner).verdict)
"""
    run = python(script)
    assert (run.code, run.out) == (0, "conforms\n"), run.err


LISTENING = """
import sys
def note(event, arguments):
    if event.startswith(("socket.", "keeprate.")):
        with open("asked.txt", "a") as file:
            file.write(event + "\\n")
sys.addaudithook(note)
sys.audit("keeprate.listens")
"""


def test_a_worker_asks_no_server(console_script, backend_file, tmp_path):
    name = backend_file(more=LISTENING)
    ids = ("--ops", "dropout", "--dtypes", "float32", "--profile", "quick", "-n", "1")
    run = console_script("gate", "--backend", name, *ids)
    assert run.code == 0, run.out + run.err
    assert set((tmp_path / "asked.txt").read_text().split()) == {"keeprate.listens"}


def test_files_are_written_only_where_an_option_says(console_script, coin, coins, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    written = {"--json": "v.json", "--write-known": "known.txt", "--ledger": "night.db"}
    words = ["--backend", f"{coins}:Bent", "--suite", coin, "--profile", "quick", "-n", "1"]
    run = console_script("gate", *words, *[word for pair in written.items() for word in pair])
    assert run.code == 1, run.out + run.err
    assert console_script("merge", "night.db", "--into", "all.db").code == 0
    assert console_script("init", "mine.py").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"temporary", *written.values(), "all.db", "mine.py"}
    assert list((tmp_path / "temporary").iterdir()) == []
