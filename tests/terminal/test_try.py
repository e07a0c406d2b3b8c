"""`try` on the approve gate's screen: typed for, answered in a line, and no way to a value."""


def test_it_runs_only_once_the_digest_is_typed(gate, views):
    from autoresearch.records import digest_of

    bundle = digest_of(views.BUNDLE)
    g = gate("approve", tries=["ran"])
    g.answer("Decision: ", "try")
    g.answer("To try it, type", "y")
    g.answer("To try it, type", "back")
    g.answer("Decision: ", "try")
    g.answer("To try it, type", bundle[:8])
    g.expect("1 time of 5, the last ran after 1.5 s, 40 MB")
    g.answer("Decision: ", "a")
    g.answer("To approve, type", bundle[:8])
    answer = g.result()
    assert answer["tried"] == [bundle]
    assert [one["outcome"] for one in answer["tries"]] == ["ran"]
    assert answer["decision"] == "approve"


def test_a_crash_is_shown_escaped_and_offered_as_the_reason(gate, views):
    from autoresearch.records import digest_of

    bundle = digest_of(views.BUNDLE)
    g = gate("approve", tries=["crashed"])
    g.answer("Decision: ", "try")
    g.answer("To try it, type", bundle[:8])
    g.expect("the last crashed")
    g.expect("Traceback (most recent call last):")
    g.answer("Decision: ", "revise")
    g.expect("Enter takes this reason: the try crashed: KeyError")
    g.answer("Why revise?", "")
    g.answer("To revise, type", bundle[:8])
    answer = g.result()
    assert answer["reason"].startswith("the try crashed: KeyError")
    assert b"\x1b[2J" not in g.seen


def test_a_reason_of_ones_own_goes_before_the_one_offered(gate, views):
    from autoresearch.records import digest_of

    bundle = digest_of(views.BUNDLE)
    g = gate("approve", tries=["crashed"])
    g.answer("Decision: ", "try")
    g.answer("To try it, type", bundle[:8])
    g.answer("Decision: ", "revise")
    g.answer("Why revise?", "name the column")
    g.answer("To revise, type", bundle[:8])
    assert g.result()["reason"] == "name the column"


def test_an_engine_that_fails_leaves_the_gate_as_it_was(gate, views):
    from autoresearch.records import digest_of

    bundle = digest_of(views.BUNDLE)
    g = gate("approve", tries=["engine"])
    g.answer("Decision: ", "try")
    g.answer("To try it, type", bundle[:8])
    g.expect("the engine did not answer")
    g.answer("Decision: ", "terminate")
    g.answer("To terminate, type", bundle[:8])
    assert g.result()["tries"] == []


def test_it_is_not_offered_while_a_finding_blocks(gate):
    g = gate("blocked")
    g.answer("Decision: ", "try")
    g.expect("Type one of: ")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    assert b"To try it" not in g.seen


def test_it_is_not_offered_beyond_the_bound(gate, views):
    from autoresearch.records import digest_of

    bundle = digest_of(views.BUNDLE)
    g = gate("approve", tries=["ran"] * 5)
    for _ in range(5):
        g.answer("Decision: ", "try")
        g.answer("To try it, type", bundle[:8])
    g.expect("5 times of 5")
    g.answer("Decision: ", "try")
    g.expect("Type one of: ")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
