"""The picture of a run's way to its target."""

import re

from unlearn_cli.rendering.figures import pursuit

LINES = [
    {"step": 1, "loss": 1.0, "learning_rate": 0.001},
    {"step": 1, "probe": {"forget": 0.9, "worst": 0.95, "retain": 1.0}, "decision": None},
    {"step": 2, "loss": 0.5, "learning_rate": 0.002, "retain_weight": 1.5},
    {"step": 2, "probe": {"forget": 0.1, "worst": 0.3, "retain": None}, "decision": "settled"},
]


def test_lines_of_what_was_seen_and_of_what_changed():
    """What never changed is no line; the decisions are the caption."""
    figure = pursuit("npo", LINES, level=0.2, keep=0.95)
    assert figure.caption == "step 2: settled."
    assert re.findall("<span>([^<]+)</span>", figure.legend) == [
        "forget rows", "retain rows, share that is left", "likeliest forget row", "level of the forget rows: 0.2",
        "share to keep: 0.95", "learning rate, as a share of its largest (0.002)",
    ]  # fmt: skip


def test_a_run_without_a_probe_has_no_picture():
    assert pursuit("npo", LINES[::2], level=0.2, keep=0.95) is None
