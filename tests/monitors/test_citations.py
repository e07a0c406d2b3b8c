"""References are looked up: what leads nowhere blocks, what nobody read warns, what only looks like one warns."""

import pytest

from autoresearch.monitors.citations import citation_findings, citation_rule_names, proposal_findings
from autoresearch.records import Source, file_ref, sha256
from autoresearch.sources import MOST_OF_ALL, Library, cited_in

TEXT = "Shifts were seen, as Guo and others (doi:10.5555/guo.17) told.\n"


def source(id_, reference, text=None):
    ref = file_ref(f"sources/{id_}.txt", text.encode()) if text else None
    return Source(
        id=id_, reference=reference, original="text" if text else "reference", path="refs.bib",
        sha256=sha256(b""), size=0, text=ref,
    )  # fmt: skip


LIBRARY = Library(
    [
        source("smith2020", "Smith, J. (2020). Shifts. arXiv:2001.00001v3", TEXT),
        source("jones", "Jones, A. Unread"),
    ],
    {"smith2020": TEXT},
    "A proposal that names doi:10.7777/own itself.",
)


def found(study, **changes):
    body = study.conclusion.model_copy(update=changes)
    return [(f.check, f.severity, f.explanation) for f in citation_findings("conclusion", body, LIBRARY)]


def test_a_conclusion_without_references_is_clean(study):
    assert found(study) == []


@pytest.mark.parametrize(
    "prose",
    [
        "As in [@smith2020], and [see @smith2020, p. 3].",
        "Guo and others told so (doi:10.5555/guo.17).",
        "See https://doi.org/10.5555/GUO.17.",
        "arXiv:2001.00001v2 and arxiv.org/abs/2001.00001 are one paper.",
        "The person named doi:10.7777/own.",
        "Smith (2020) and Smith et al. (2020) say so; so do Guo and Li (2017).",
        "Write to a@b.org, use @decorator, x[0], 10.5/3 and 10.1234 apples in 2020.",
    ],
)
def test_what_leads_somewhere_is_no_finding(study, prose):
    assert found(study, prose=prose) == []


@pytest.mark.parametrize(
    ("prose", "named"),
    [
        ("As in [@nobody2021].", "[@nobody2021]"),
        ("As in [-@nobody2021] and [@smith2020; @other, p. 3].", "[@other]"),
        ("Keys differ by case: [@Smith2020].", "[@Smith2020]"),
        ("doi:10.9999/invented.1", "doi:10.9999/invented.1"),
        ("cut off: doi:10.5555/guo", "doi:10.5555/guo"),
        ("bare 10.1038/s41586-020-2649-2 too", "doi:10.1038/s41586-020-2649-2"),
        ("https://doi.org/10.9999/abc).", "doi:10.9999/abc"),
        ("arXiv:2101.99999", "arXiv:2101.99999"),
        ("arXiv 2101.99999", "arXiv:2101.99999"),
        ("https://arxiv.org/pdf/hep-th/9901001", "arXiv:hep-th/9901001"),
    ],
)
def test_an_invented_reference_blocks(study, prose, named):
    findings = found(study, prose=prose)
    assert ("conclusion.citation-unresolved", "block") in {
        (check, severity) for check, severity, _ in findings
    }
    assert any(said.startswith(f"{named} leads to no source") for _, _, said in findings)


def test_a_claims_own_list_is_looked_up(study):
    claims = [study.conclusion.claims[0].model_copy(update={"cites": ["smith2020", "nobody", "jones"]})]
    assert [(check, severity) for check, severity, _ in found(study, claims=claims)] == [
        ("conclusion.citation-unresolved", "block"),
        ("conclusion.citation-unread", "warn"),
    ]
    assert "(claims.0.cites.1)" in found(study, claims=claims)[0][2]


def test_a_name_with_a_year_that_nobody_knows_warns(study):
    for prose in (
        "Miller et al. (2019) show it.",
        "It is known (Miller, 2019).",
        "Miller and Guo (2019) say so.",
    ):
        ((check, severity, said),) = found(study, prose=prose)
        assert (check, severity) == ("conclusion.reference-without-source", "warn")
        assert "Miller" in said


def test_once_for_each_reference(study):
    assert len(found(study, prose="[@nobody]", takeaway="[@nobody] again")) == 1


def test_the_persons_own_slip_is_a_warning():
    library = Library(LIBRARY.sources, LIBRARY.texts, "As [@nobody; @jones] say; doi:10.9999/mine.")
    assert [(f.check, f.severity) for f in proposal_findings(library)] == [
        ("proposal.citation-unresolved", "warn"),
        ("proposal.citation-unread", "warn"),
    ]


def test_evidence_is_the_text_round_it(study):
    (finding,) = citation_findings(
        "conclusion",
        study.conclusion.model_copy(update={"prose": "x" * 9000 + " [@nobody] " + "y" * 9000}),
        LIBRARY,
    )
    assert "@nobody" in finding.evidence
    assert len(finding.evidence) < 500


def test_what_rules_said_is_not_read_as_the_records(study):
    finding = citation_findings(
        "conclusion", study.conclusion.model_copy(update={"prose": "[@nobody]"}), LIBRARY
    )
    critique = study.critique.model_copy(update={"findings": finding})
    assert citation_findings("critique", critique, LIBRARY) == []
    assert len(citation_rule_names("critique")) == 3


def test_keys_are_read_as_pandoc_reads_them():
    assert list(cited_in("[@a; see @b:c, p. 3] [@d.] mail@x.org @e [x](y) @{f}")) == ["a", "b:c", "d", "f"]


def test_a_prompt_holds_so_much_of_all_of_them():
    many = [source(f"s{n}", "r", "x" * 50_000) for n in range(30)]
    items = Library(many, {s.id: "x" * 50_000 for s in many}, "").items()
    assert sum(len(item["text"]) for item in items) < MOST_OF_ALL * 1.1
    names = [item["name"] for item in LIBRARY.items()]
    assert names == ["source smith2020", "references without a text"]
