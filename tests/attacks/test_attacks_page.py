"""docs/attacks.md lists the attacks that there are, with the verdicts that the tests compare."""

import re

import catalogue

NOT_HELD = {"forged_well"}
"""Attacks that nothing stops; docs/security.md says what stands against them."""


def test_the_page_lists_these_attacks_as_they_describe_themselves():
    assert catalogue.TABLE.read_text() == catalogue.render(catalogue.committed()), (
        "renew it: make attacks-table"
    )


def test_the_page_says_that_all_but_what_is_named_here_is_held():
    docker = catalogue.committed()["docker"]
    assert {name for name, verdict in docker.items() if verdict != catalogue.HELD} == NOT_HELD
    assert set(docker) == set(catalogue.attacks())


def test_the_tests_that_the_security_page_names_are_there():
    named = set(re.findall(r"`(test_\w+)`", (catalogue.TABLE.parent / "security.md").read_text()))
    tests = catalogue.HERE.parent
    there = {
        name for path in tests.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 25
    assert named - there == set()
