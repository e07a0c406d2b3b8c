"""Reading a written proposal: what comes out, and what each slip is told."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoresearch.errors import InvalidInput
from autoresearch.proposal import ParsedProposal, looks_free_form, parse_proposal
from autoresearch.template import template

TEMPLATE = template()


def changed(old: str, new: str, text: str = TEMPLATE) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def without(name: str, text: str = TEMPLATE) -> str:
    """The text less one section."""
    shortened = re.sub(rf"^## {name}\n.*?(?=^## |\Z)", "", text, flags=re.DOTALL | re.MULTILINE)
    assert shortened != text
    return shortened


def line_of(text: str, piece: str) -> int:
    assert text.count(piece) == 1, f"{piece!r} stands {text.count(piece)} times"
    return text[: text.index(piece)].count("\n") + 1


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_proposal(text, "p.md")
    return str(caught.value)


def facts(parsed: ParsedProposal) -> dict[str, object]:
    """Everything but the digests of the raw text."""
    return {name: value for name, value in vars(parsed).items() if name != "section_digests"}


# ------------------------------------------------------------------ what comes out


def test_the_template_is_read_whole():
    parsed = parse_proposal(TEMPLATE, forecaster="human:Ada")
    assert parsed.title == "Mean or median of five graders"
    assert parsed.question.startswith("How does taking the median")
    assert parsed.question.endswith("a part in common?")
    assert [h.id for h in parsed.hypotheses] == ["H1"]
    assert [h.id for h in parsed.plan.hypotheses] == ["H1", "H2", "H3"]
    assert parsed.plan.contrast.null == 0
    assert parsed.plan.config == {"pairs": 2000, "graders": 5, "gap": 0.5, "common": 0.5}
    assert parsed.proxy is not None
    assert parsed.proxy.ceiling == pytest.approx(0.6 / 0.35)
    assert [f.id for f in parsed.predictions] == ["P1", "P2", "P3"]
    assert [f.shape for f in parsed.predictions] == ["quantile", "binary", "categorical"]
    assert {f.forecaster for f in parsed.predictions} == {"human:Ada"}
    assert [f.primary for f in parsed.predictions] == [True, False, False]
    assert list(parsed.files) == ["experiment/experiment.py"]
    assert parsed.files["experiment/experiment.py"].startswith(b"import numpy as np\n")
    assert parsed.missing == []
    assert "Scores of several model graders" in parsed.background


def test_crlf_and_a_byte_order_mark_change_nothing():
    windows = "\ufeff" + TEMPLATE.replace("\n", "\r\n")
    assert facts(parse_proposal(windows)) == facts(parse_proposal(TEMPLATE)) | {
        "background": parse_proposal(TEMPLATE).background.replace("\n", "\r\n")
    }


def test_section_names_ignore_case_and_order():
    head, question, rest = re.split(r"(?=^## )", TEMPLATE, maxsplit=2, flags=re.MULTILINE)
    moved = head + rest + "\n" + question.replace("## Question", "## QUESTION ##")
    assert facts(parse_proposal(moved)) == facts(parse_proposal(TEMPLATE))


def test_optional_sections_may_be_absent():
    text = TEMPLATE
    for name in ("Background", "Rivals", "Target and proxy", "Assumptions", "Decision table"):
        text = without(name, text)
    parsed = parse_proposal(text)
    assert parsed.missing == ["background", "target-and-proxy", "rivals", "assumptions", "decision-table"]
    assert (parsed.background, parsed.rivals, parsed.assumptions) == ("", [], [])
    assert (parsed.proxy, parsed.proxy_texts) == (None, None)
    assert sorted(parsed.section_digests) == ["experiment", "hypotheses", "plan", "predictions", "question"]


def test_a_missing_decision_table_follows_from_the_hypotheses():
    table = {row.outcome: row for row in parse_proposal(without("Decision table")).plan.decision_table}
    assert list(table) == ["positive", "negative", "negligible", "inconclusive"]
    assert (table["positive"].supports, table["positive"].refutes) == (["H1"], ["H2", "H3"])
    assert table["positive"].conclusion == "supports H1; refutes H2, H3"
    assert table["inconclusive"].conclusion == "decides nothing"


def test_proxy_without_figures_keeps_its_texts():
    text = re.sub(r"p_given_\w+: .*\n", "", TEMPLATE)
    parsed = parse_proposal(text)
    assert parsed.proxy is None
    assert parsed.proxy_texts is not None
    assert parsed.proxy_texts.target.startswith("Committees")


def test_digests_change_with_their_own_section_only():
    before = parse_proposal(TEMPLATE).section_digests
    after = parse_proposal(changed("trials_per_arm: 20", "trials_per_arm: 21")).section_digests
    assert {key for key in before if before[key] != after[key]} == {"plan"}


@pytest.mark.parametrize(
    ("written", "primary"),
    [
        ("- {about: contrast > 0, p: 0.5}\n- {about: contrast, quantiles: [0, 1, 2]}", [False, True]),
        ("- {about: contrast > 0, p: 0.5}\n- {about: 'metric:mean', quantiles: [0, 1, 2]}", [True, False]),
        (
            "- {about: contrast, quantiles: [0, 1, 2]}\n- {about: contrast < -1e-3, p: 1, primary: yes}",
            [False, True],
        ),
    ],
)
def test_the_primary_prediction(written, primary):
    text = re.sub(r"(## Predictions.*?```yaml\n).*?(```)", rf"\1{written}\n\2", TEMPLATE, flags=re.DOTALL)
    assert [f.primary for f in parse_proposal(text).predictions] == primary


def test_numbers_and_words_are_what_they_look_like():
    written = (
        "{rate: 1e-3, big: 2.5E+4, n: 007, switch: no, mode: on, time: 12:30, day: 2024-01-02, t: true, e: ~}"
    )
    config = parse_proposal(re.sub(r"config: \{.*\}", f"config: {written}", TEMPLATE)).plan.config
    assert config == {
        "rate": 0.001, "big": 25000.0, "n": 7, "switch": "no", "mode": "on", "time": "12:30",
        "day": "2024-01-02", "t": True, "e": None,
    }  # fmt: skip
    assert type(config["rate"]) is float
    assert type(config["n"]) is int


def test_fences_of_either_mark_and_nested():
    fence = "~~~~yaml\n"
    text = re.sub(r"```yaml\n(- \{outcome.*?)```", rf"{fence}\1~~~~", TEMPLATE, flags=re.DOTALL)
    assert fence in text
    nested = changed("## Background\n", "## Background\n\n````text\n```yaml\n## Plan\n```\n````\n", text)
    assert facts(parse_proposal(nested)) | {"background": ""} == facts(parse_proposal(TEMPLATE)) | {
        "background": ""
    }


def test_a_python_comment_is_no_heading():
    parsed = parse_proposal(changed("import numpy as np\n", "# a comment\n## another\nimport numpy as np\n"))
    assert parsed.files["experiment/experiment.py"].startswith(b"# a comment\n## another\n")


def test_further_files_stand_beside_the_experiment():
    text = TEMPLATE + "\n```python helpers.py\nTWO = 2\n```\n"
    assert parse_proposal(text).files["experiment/helpers.py"] == b"TWO = 2\n"


def test_a_block_called_experiment_need_not_be_first():
    body = "```python helpers.py\nTWO = 2\n```\n\n```python experiment.py\nimport numpy"
    assert list(parse_proposal(changed("```python\nimport numpy", body)).files) == [
        "experiment/helpers.py",
        "experiment/experiment.py",
    ]


def test_prose_around_the_blocks_is_allowed():
    assert parse_proposal(changed("## Plan\n", "## Plan\n\nWe chose twenty.\n\n### Details\n\nMore.\n"))


# ----------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("## Assumptions", "## Asumptions", "## Asumptions", "unknown section `Asumptions`; did you mean `Assumptions`?"),
        ("## Decision table", "## Assumptions", None, "the section `Assumptions` stands twice"),
        ("prior: 0.35", "priro: 0.35", "priro", "unknown key `priro`; did you mean `prior`?"),
        ("  how_gamed: ", "  how_games: ", "how_games", "Plan, metric: unknown key `how_games`; did you mean `how_gamed`?"),
        ("  prior: 0.35", "  prior: high", "prior: high", "Rivals, item 1, prior: must be a valid number"),
        ("prior: 0.35", "prior: 1.5", "prior: 1.5", "less than or equal to 1, not 1.5"),
        ("expects: [negligible]", "expects: [negligable]", "[negligable]", "did you mean `negligible`?"),
        ("expects: [negligible]", "expects: negligible", "expects: negligible", "must be a list, e.g. [`negligible`]"),
        ("id: A1", "id: 1A", "id: 1A", "'1A' is not a name"),
        ("id: A2", "id: A1", None, "Assumptions: the id `A1` stands twice"),
        ("id: H2", "id: H1", None, "Rivals: the id `H1` stands twice"),
        ("exclusions: None\n", "exclusions: 7\n", "exclusions: 7", "must be text, not 7: put it in quotes"),
        ("stopping_rule: Fixed", "stopping_rule: |\n  a\n  b\n#", "stopping_rule", "must stand on one line"),
        ("trials_per_arm: 20\n", "", None, "Plan: the key `trials_per_arm` is missing"),
        ("treatment: median", "treatment: medain", "treatment: medain", "not an arm; did you mean `median`?"),
        ("formula: accuracy", "formula: rmse", "metric:\n", "formula rmse takes arrays"),
        ("refutes: [H2, H3]", "refutes: [H2, H4]", "[H2, H4]", "`H4` is no hypothesis; did you mean"),
        ("outcome: negative,", "outcome: positive,", "## Decision table", "stand twice: positive"),
        ("p_given_not: 0.35", "# gone", "target: Committees", "give both p_given_target and p_given_not"),
        ("[-0.005, 0.012, 0.03]", "[0.012, 0.012, 0.03]", "- about: contrast  ", "quantiles must increase"),
        ("[-0.005, 0.012, 0.03]", "[-0.005, 0.012]", "[-0.005, 0.012]", "Predictions, item 1, quantiles"),
        ("about: contrast > 0.01", "about: contrast >> 0.01", ">> 0.01", "p is about `contrast > NUMBER`"),
        ("about: outcome", "about: metric:mean", "about: metric:mean", "categories are about `outcome`"),
        ("about: contrast       #", "about: metric:meen #", "metric:meen", "not an arm; did you mean `mean`?"),
        ("inconclusive: 0.15}", "inconclusive: 0.25}", "- about: outcome", "summing to 1"),
        ("p: 0.55\n", "p: 0.55\n  primary: true\n", "primary: true\n  base_rate", "two are primary"),
        ("p: 0.55\n", "p: 0.55\n  quantiles: [1, 2, 3]\n", "- about: contrast > 0.01", "exactly one of quantiles, p"),
        ("limits: {seconds: 120", "limits: {secnds: 120", "secnds", "did you mean `seconds`?"),
        ("trials_per_arm: 20", "trials_per_arm: 20\ntrials_per_arm: 30", "trials_per_arm: 30", "`trials_per_arm` stands twice"),
        ("trials_per_arm: 20", "trials_per_arm: &n 20", "&n 20", "anchors (&) and aliases (*) are not read"),
        ("trials_per_arm: 20", "trials_per_arm: *n", "*n", "anchors (&) and aliases (*) are not read"),
        ("trials_per_arm: 20", "trials_per_arm: !!int 20", "!!int", "tags (tag:yaml.org,2002:int) are not read"),
        ("trials_per_arm: 20", "trials_per_arm: .inf", ".inf", ".inf is not a number"),
        ("config: {pairs: 2000", "config: {pairs: 1e999", "1e999", "too large"),
        ("config: {pairs: 2000", "config: {pairs: 90071992547409931", "90071992547409931", "too large to be kept exactly"),
        ("exclusions: None", "exclusions: a: b", "exclusions: a: b", "a second `:` on this line"),
        ("exclusions: None", "exclusions: [a", "controls:", "not valid YAML"),
        ("exclusions: None", "exclusions: None\n---\na: 1", "---", "not valid YAML"),
        ("target: Committees", 'target: "\\U00110000"\n# ', None, "not valid YAML"),
        ("target: Committees", 'target: "\\ud800"\n# ', 'target: "', "half a surrogate pair"),
        ("    rng = np", "    rng = = np", "rng = = np", "experiment.py: python: invalid syntax"),
        ("def run_trial(", "def run_trails(", None, "define `run_trial(arm, seed, config, data)`"),
        ("def run_trial(arm, seed, config", "def run_trial(arm, config, seed", "def run_trial(arm, config", "is `run_trial(arm, config, seed, data)`"),
        ("def run_trial", "async def run_trial", "async def", "is async; it must be a plain function"),
        ("def run_trial", "def make_data(config):\n    pass\n\n\ndef run_trial", "make_data(config)", "must be `make_data(seed, config)`"),
        ("```python\n", "```\n", None, "needs a fenced python block: mark this block ```python"),
        ("minus: mean, arrays: {prediction: picked_stray", "minus: maen, arrays: {prediction: picked_stray", "minus: maen", "minus is `maen`, which is not an arm; did you mean `mean`"),
        (", low: 0.02}", "}", "role: positive", "needs low, high or both"),
        ("low: 0, high: 0}", "low: 1, high: 0}", "role: negative", "low 1 is above high 0"),
        ("secondary: []", "secondary: [{id: S1, form: paired, treatment: medain, control: mean, smallest_effect: 1}]", "medain", "did you mean `median`"),
        ("prior_data:", "priordata:", "priordata:", "unknown key `priordata`"),
    ],
)  # fmt: skip
def test_each_slip_is_named_with_its_line(old, new, at, said):
    text = changed(old, new)
    message = refusal(text)
    lines = message.split("\n")
    assert any(said in line for line in lines), message
    assert len(lines) == 1, message
    if at is not None:
        assert lines[0].startswith(f"p.md:{line_of(text, at)}: "), message


@pytest.mark.parametrize("name", ["Question", "Hypotheses", "Plan", "Predictions", "Experiment"])
def test_a_missing_required_section_is_named(name):
    assert f"the required section `## {name}` is missing" in refusal(without(name))


def test_several_problems_are_told_at_once_in_order():
    text = changed("prior: 0.35", "priro: 0.35", changed("rng = np", "rng = = np"))
    numbers = [int(line.split(":")[1]) for line in refusal(text).split("\n")]
    assert len(numbers) == 2
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("```python ../helpers.py\n1\n```\n", "`../helpers.py` is not a file name"),
        ("```python helpers.txt\n1\n```\n", "`helpers.txt` is not a file name"),
        ("```python .git/x.py\n1\n```\n", "`.git/x.py` is not a file name"),
        ("```python\n1\n```\n", "a second python block without a file name"),
        ("```python a.py\n1\n```\n```python a.py\n2\n```\n", "a second block is experiment/a.py"),
        ("```python a.py\n1 +\n```\n", "a.py: python: invalid syntax"),
        ("```python a.py\n1\n", "the block opened here with ``` is never closed"),
        ("<!-- a\n", "the comment opened here is never closed"),
        ("# Another title\n", "a second title"),
    ],
)
def test_what_follows_the_experiment(added, said):
    assert said in refusal(TEMPLATE + "\n" + added)


def test_a_section_needs_exactly_one_yaml_block():
    block = re.search(r"```yaml\n(?=arms).*?```\n", TEMPLATE, re.DOTALL)
    assert block is not None
    assert "needs one" not in refusal(TEMPLATE.replace(block[0], ""))
    assert "Plan: needs a fenced yaml block: open it with ```yaml" in refusal(TEMPLATE.replace(block[0], ""))
    bare = block[0].replace("```yaml", "```")
    assert "mark this block ```yaml" in refusal(TEMPLATE.replace(block[0], bare))
    assert "a second yaml block" in refusal(TEMPLATE.replace(block[0], block[0] * 2))
    assert "the yaml block is empty" in refusal(TEMPLATE.replace(block[0], "```yaml\n```\n"))
    assert "must be a mapping" in refusal(TEMPLATE.replace(block[0], "```yaml\n- a\n```\n"))


def test_title_and_question():
    assert "the title is missing" in refusal(TEMPLATE.split("\n", 1)[1])
    assert "Question: is empty" in refusal(
        re.sub(r"(## Question\n).*?(?=## )", r"\1", TEMPLATE, flags=re.DOTALL)
    )
    long = refusal(changed("How does taking", "How " + "very " * 100 + "does taking"))
    assert "at most 500" in long
    assert long.startswith(f"p.md:{line_of(TEMPLATE, 'How does taking')}: ")


@pytest.mark.parametrize("depth", [50, 300, 5000])
@pytest.mark.parametrize(("opens", "closes"), ["[]", ("{a: ", "}")])
def test_deep_nesting_is_refused_in_words(depth, opens, closes):
    deep = opens * depth + "0" + closes * depth
    assert "nested too deeply" in refusal(changed("config: {pairs", f"config: {{deep: {deep}, pairs"))


@pytest.mark.parametrize("expression", ["(" * 3000 + ")" * 3000, "-" * 100_000 + "1", "\0"])
def test_code_that_python_cannot_read_is_refused_in_words(expression):
    assert "experiment.py: python" in refusal(changed("    rng = np", f"    x = {expression}\n    rng = np"))


def test_a_character_that_yaml_forbids_is_named():
    text = changed("exclusions: None", "exclusions: \x07")
    message = refusal(text)
    assert message.startswith(f"p.md:{line_of(text, 'exclusions:')}: ")
    assert "U+0007" in message


def test_lines_are_those_of_an_editor():
    text = changed(
        "arms:\n", "# \u2028# \u2029# \x85# no line ends\narms:\n", changed("exclusions", "exclusion")
    )
    assert refusal(text).startswith(f"p.md:{line_of(text, 'exclusion:')}: ")


def test_no_control_character_of_the_file_reaches_the_terminal():
    message = refusal(changed("## Assumptions", "## Ass\x1b[31mumptions"))
    assert "\x1b" not in message
    assert "unknown section" in message


def test_many_problems_are_cut_short():
    text = re.sub(
        r"(## Assumptions\n).*?(?=## )",
        "\\1```yaml\n" + "- {idd: A}\n" * 30 + "```\n\n",
        TEMPLATE,
        flags=re.DOTALL,
    )
    lines = refusal(text).split("\n")
    assert len(lines) == 11
    assert lines[-1].startswith("… and ")


# ------------------------------------------------------------------------ free form


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("", True),
        ("An idea.\n\nIn two paragraphs.", True),
        ("# Title\n\n## Introduction\n\nText", True),
        ("# Title\n\n```\n## Question\n```\n", True),
        ("<!--\n## Question\n-->", True),
        ("# Title\n\n## question\n", False),
        ("## Plan", False),
        (TEMPLATE, False),
    ],
)
def test_free_form(text, free):
    assert looks_free_form(text) is free


def test_a_free_form_text_is_told_both_ways_out():
    message = refusal("An idea.")
    assert message.startswith("p.md:1: ")
    assert "`autoresearch template p.md`" in message
    assert "`--model anthropic:<model>`" in message
    assert "\n" not in message


# ------------------------------------------------------------------------ anything


def only_refuses(text: str) -> None:
    looks_free_form(text)
    try:
        parse_proposal(text)
    except InvalidInput as error:
        said = str(error)
    else:
        return
    assert said.strip()
    assert all(c.isprintable() or c == "\n" for c in said)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200))
@example("\ud800")
@example("## Question\n\ud800")
@example('## Plan\n```yaml\n"\\U00110000"\n```')
@example("## Plan\n```yaml\n%YAML 9.9\n---\n? [a]\n: b\n```")
def test_any_text_is_read_or_refused(text):
    only_refuses(text)


yaml_like = st.text(
    alphabet=st.sampled_from(list(" \n\t-:#?![]{}&*,|>'\"%@`~ab01.eE+\\u\x85\u2028\ufeffé")), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(yaml_like, st.sampled_from(["Plan", "Rivals", "Predictions", "Target and proxy"]))
def test_any_yaml_block_is_read_or_refused(block, name):
    only_refuses(
        re.sub(
            rf"(## {name}\n.*?```yaml\n).*?(\n```)",
            lambda m: m[1] + block + m[2],
            TEMPLATE,
            count=1,
            flags=re.DOTALL,
        )
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_damage_to_the_template_is_read_or_refused(data):
    text = TEMPLATE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        piece = data.draw(
            st.one_of(
                st.text(max_size=12), yaml_like, st.sampled_from(["```", "~~~", "<!--", "## ", "# ", "\r"])
            )
        )
        text = text[:start] + piece + text[end:]
    only_refuses(text)


# ------------------------------------------------------------------- a command


def with_experiment(body):
    head, _, _ = template().partition("## Experiment")
    return f"{head}## Experiment\n\n{body}"


COMMAND = '```yaml\ncommand: [sh, "{experiment}/run.sh", "{arm}"]\n```\n'


def test_a_command_brings_files_in_any_language():
    parsed = parse_proposal(
        with_experiment(f"{COMMAND}\n```sh run.sh\necho hi\n```\n\n```json deep/set.json\n{{}}\n```\n")
    )
    assert parsed.plan.command == ["sh", "{experiment}/run.sh", "{arm}"]
    assert parsed.files == {"experiment/run.sh": b"echo hi\n", "experiment/deep/set.json": b"{}\n"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (COMMAND, "the command has no file"),
        (f"{COMMAND}\n```sh\necho hi\n```\n", "write ```sh NAME"),
        (f"{COMMAND}\n```sh ../run.sh\necho hi\n```\n", "is not a file name"),
        (f"{COMMAND}\n```sh run.sh\n```\n\n```sh run.sh\n```\n", "a second block is experiment/run.sh"),
        (f"{COMMAND}\n```python run.py\nx = = 1\n```\n", "run.py: python:"),
        ("```yaml\ncommand: []\n```\n", "needs a fenced python block"),
        ("```yaml\ncomand: [sh]\n```\n", "did you mean"),
        ("```yaml\nenvironment: requirements.txt\n```\n", "must be requirements.lock"),
        ("```yaml\nenvironment: sha256:abc\n```\n", "64 hex digits"),
        ("```yaml\ninputs: [{name: a, path: x}, {name: a, path: y}]\n```\n", "input names stand twice: a"),
        ("```yaml\ninputs: [{name: a/b, path: x}]\n```\n", "name"),
    ],
)  # fmt: skip
def test_a_command_and_its_files_that_cannot_be(body, said):
    with pytest.raises(InvalidInput, match=re.escape(said)) as caught:
        parse_proposal(with_experiment(body))
    assert re.match(r"proposal\.md:\d+: ", str(caught.value))
