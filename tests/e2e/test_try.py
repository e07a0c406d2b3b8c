"""`try` at the approve gate, in a real container: what the code prints and returns reaches nobody."""

import signal
import time

import pytest

pytestmark = pytest.mark.docker

SECRET = str(7319264081 * 3)
"""What the code computes, prints, writes and returns; it does not stand in the code."""
TELLS = """
def run_trial(arm, seed, config, data):
    import sys
    secret = 7319264081 * 3
    print("accuracy", secret, flush=True)
    print("accuracy", secret, file=sys.stderr, flush=True)
    open("accuracy.txt", "w").write(str(secret))
    return {"numbers": [secret] * 40}
"""
CRASHES = TELLS.replace("    return", '    raise KeyError("no such label")\n    return')
UNLOADABLE = f'print("accuracy", 7319264081 * 3)\nimport no_such_module\n{TELLS}'
SLEEPS = "def run_trial(arm, seed, config, data):\n    import time\n    time.sleep(600)\n"


@pytest.fixture
def waiting(desk, image, variant, tmp_path):
    def make(code):
        return desk.waiting(variant(tmp_path / "study.md", code=code), tmp_path / "project")

    return make


def try_it(session):
    session.wait_for("Decision: ")
    session.type("try")
    session.type(session.digest())


def require_untold(desk, project, session):
    """The value is nowhere: not on the screen, in no commit, not in the journal."""
    assert SECRET not in session.screen
    assert SECRET not in desk.git("log", "-p", "--text", "--all", "--format=%B", cwd=project)
    kept = project / ".git" / "autoresearch"
    assert not [path for path in kept.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_what_runs_is_only_said_to_run(desk, waiting, left_behind):
    project = waiting(TELLS)
    session = desk.terminal("review", cwd=project)
    try_it(session)
    session.wait_for("1 time of 5, the last ran after")
    assert desk.kinds(project)[-1] == "preflight"
    assert not left_behind(desk.show(project, "start")["body"]["project"])
    session.decide("terminate")
    assert session.end() == 0, session.screen
    (tried,) = desk.show(project, "approval")["body"]["tries"]
    assert (tried["outcome"], tried["crash"]) == ("ran", "")
    require_untold(desk, project, session)
    desk.require_sound(project)
    replayed = desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


@pytest.mark.parametrize(
    ("code", "said"),
    [(CRASHES, "KeyError: 'no such label'"), (UNLOADABLE, "ModuleNotFoundError: No module named 'no_such_module'")],
    ids=["a trial", "the import"],
)  # fmt: skip
def test_a_crash_shows_its_traceback_and_becomes_the_reason(desk, waiting, code, said):
    project = waiting(code)
    session = desk.terminal("review", cwd=project)
    try_it(session)
    session.wait_for("the last crashed after")
    session.wait_for(said)
    session.wait_for("Decision: ")
    session.type("revise")
    session.wait_for("Why revise?")
    session.type("")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    body = desk.show(project, "approval")["body"]
    assert said in body["tries"][0]["crash"]
    assert body["reason"] == f"the try crashed: {said}"
    require_untold(desk, project, session)


def test_a_killed_try_leaves_nothing_once_the_gate_opens_again(desk, waiting, left_behind):
    project = waiting(SLEEPS)
    session = desk.terminal("review", cwd=project)
    try_it(session)
    number = desk.show(project, "start")["body"]["project"]
    until = time.monotonic() + 30
    while not left_behind(number) and time.monotonic() < until:
        time.sleep(0.1)
    session.kill()
    assert left_behind(number)
    again = desk.terminal("review", cwd=project)
    again.wait_for("1 time of 5, the last interrupted")
    assert not left_behind(number)
    try_it(again)
    while not left_behind(number) and time.monotonic() < until + 30:
        time.sleep(0.1)
    again.child.kill(signal.SIGINT)
    assert again.end() == 130
    assert not left_behind(number)
    assert desk.kinds(project)[-1] == "preflight"
