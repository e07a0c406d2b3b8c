"""A death, or a failing disk, at every write boundary of every step: what is recorded is the same."""

import pytest

import deaths

OTHERS = tuple(f"@ {kind}" for kind in deaths.STORY if kind != "run")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def server():
    made = deaths.Deaths()
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    """The head of a project that nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed")
    deaths.make(root)
    assert server.stretch(root, only=["none"]) == {"ended": "accepted", "point": ""}
    return deaths.head(root)


@pytest.fixture
def new(tmp_path):
    """A new project each time, of the same bytes."""
    count = iter(range(1000))

    def make():
        root = tmp_path / f"{next(count)}"
        root.mkdir()
        deaths.make(root)
        return root

    return make


@pytest.mark.parametrize(("trouble", "one_in"), [("kill", 12), ("ENOSPC", 40), ("EIO", 40)])
def test_at_the_boundaries_of_every_step(server, undisturbed, new, trouble, one_in):
    """Project after project, until no point is left at which none was cut short.

    A twelfth and a fortieth of them, drawn by a hash, since each costs; `make campaign-ledger ARGS=--boundaries` has them all.
    """
    only = deaths.ALL if trouble == "kill" else deaths.WRITING
    spared: set[str] = set()
    while True:
        before, root = len(spared), new()
        assert (
            server.course(root, spared, trouble, skip=deaths.WINDOWS, only=only, one_in=one_in) == "accepted"
        )
        _, asked = deaths.require_sound(root)
        assert deaths.head(root) == undisturbed
        assert set(asked.values()) == {1}, "no reply was lost"
        if len(spared) == before:
            break
    met = {point.split(" @ ")[0] for point in spared}
    missed = set(only) - met - {"model about to answer", "model answered", "run about to start"}
    assert trouble != "kill" or not missed
    assert len(spared) > len(only)


def test_a_death_before_a_reply_is_kept_costs_the_reply_and_no_more(server, new):
    """Its reservation stays spent, which the next record says: so the history is not the very same."""
    root, spared = new(), set()
    only = tuple(name for name in deaths.ALL if name.startswith(("journal", "model")))
    skip = (*deaths.RUN_WINDOW, "noting work", "noting consumed", "forgetting", "mending")
    assert server.course(root, spared, skip=skip, only=only, one_in=2) == "accepted"
    kinds, asked = deaths.require_sound(root)
    assert len(spared) > 12
    assert kinds == deaths.STORY
    spent = sum(entry.record.made_by.calls for entry in deaths.history(root))
    assert spent >= sum(asked.values()) > len(asked)


def test_a_death_between_the_run_record_and_its_start_loses_that_run_only(server, new):
    root, spared = new(), set()
    skip = ("mending", *deaths.MODEL_WINDOW)
    assert server.course(root, spared, skip=(*skip, *OTHERS)) == "accepted"
    kinds, _ = deaths.require_sound(root)
    assert len(spared) > 20
    statuses = [entry.record.body.status for entry in deaths.history(root) if entry.record.kind == "result"]
    assert statuses[-1] == "Completed"
    assert set(statuses[:-1]) == {"Lost"}
    assert kinds.count("approval") == kinds.count("run") == len(statuses) < len(spared)
