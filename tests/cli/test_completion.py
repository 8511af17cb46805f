"""What a shell completes, asked as bash asks it."""

import pytest

from tests.cli.fresh import COMMAND_LINE, server
from unlearn_cli.contract import METHODS


def completed(line):
    request = {"_UNLEARN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = server(COMMAND_LINE).run(**request)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("unlearn fo", ["forget"]),
        ("unlearn forget --method np", ["npo"]),
        ("unlearn forget --dtype ", ["auto", "float32", "bfloat16", "float16"]),
        ("unlearn forget --optim s", ["sophia", "sign"]),
        ("unlearn forget --retain-term kl", ["kl", "kl-reverse"]),
        ("unlearn forget --robust ", ["gru", "gu", "lat", "none", "sam"]),
        ("unlearn relearn-attack r --suite ", ["quick", "standard", "full"]),
        ("unlearn relearn-attack r --attack quantize,pro", ["quantize,probe", "quantize,prompts"]),
        ("unlearn sweep --methods npo,simn", ["npo,simnpo"]),
        ("unlearn evaluate r --metrics rouge_l", ["rouge_l", "rouge_l_f1"]),
        ("unlearn show np", ["npo"]),
        ("unlearn list me", ["methods", "metrics"]),
    ],
)
def test_names_and_words(line, words):
    assert completed(line) == words


def test_every_method():
    assert completed("unlearn forget --method ") == METHODS.names()
