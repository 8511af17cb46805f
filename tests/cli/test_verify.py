"""`unlearn verify`: a tampered adapter, a swapped base, an edited report, a missing shard are each named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.cli.running import BASELINE, MODEL, QUICK, data_arguments, unlearn
from unlearn_cli.lineage import PREDICATE, STATEMENT, read_chain

SHORT = ("--generate-limit", 2, "--max-new-tokens", 4, "--bootstrap-samples", 20)


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """A run on a base in two shards, attacked, merged and evaluated: a folder with `run`, `model` and `merged`."""
    folder = tmp_path_factory.mktemp("lineage")
    sharded(folder / "model")
    data = ["--model", folder / "model", *data_arguments(folder)[2:]]
    for words in (
        ("forget", *data, *QUICK, "--learning-rate", "5e-3", "-o", folder / "run"),
        ("relearn-attack", folder / "run", "--attack", "quantize", "-p", "bits=4", "--eval-limit", 4, *SHORT),
        ("merge", folder / "run", "-o", folder / "merged", "--rows", 2),
        ("evaluate", folder / "merged", "--lineage", folder / "run"),
    ):
        result = unlearn(*words)
        assert result.exit_code == 0, result.stderr
    return folder


def sharded(folder: Path) -> None:
    """The demo's model, its weights in two files."""
    shutil.copytree(MODEL, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:10], "model-00002-of-00002.safetensors": names[10:]}
    for file, some in parts.items():
        save_file({name: weights[name].clone() for name in some}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture
def copy(story, tmp_path) -> Path:
    """The story in a folder that a test may change; its lineage names the files of the story itself."""
    shutil.copytree(story, tmp_path / "copy")
    return tmp_path / "copy"


def verified(folder: Path, *flags: object) -> tuple[int, dict[str, str]]:
    """Exit code, and the files that are not unchanged with their state."""
    places = [f"--place=base={folder / 'model'}", f"--place=merged={folder / 'merged'}"]
    result = unlearn("verify", folder / "run", *places, "--json", *flags)
    assert result.stdout, result.stderr
    files = json.loads(result.stdout)["files"]
    return result.exit_code, {f"{f['place']}/{f['file']}": f["state"] for f in files if f["state"] != "unchanged"}


def test_what_was_not_touched_is_whole(story):
    assert verified(story) == (0, {})
    result = unlearn("verify", story / "run")
    assert result.exit_code == 0 and "MB read" in result.stderr and "not signed" in result.stderr
    for name in ("run/adapter_model.safetensors", "base/model-00002-of-00002.safetensors", "base/tokenizer.json",
                 "merged/model.safetensors", "run/attacks/quantize/report.json",
                 "run/derived/merged/report.json"):  # fmt: skip
        assert name in result.stdout


def test_every_command_is_a_link_in_a_standard_form(story):
    links = read_chain(story / "run")
    assert [link.command for link in links] == ["forget", "relearn-attack", "merge", "evaluate"]
    for before, after in zip(links, links[1:], strict=False):
        assert after.read[f"lineage/{before.path.name}"] == before.sha256
    for link in links:
        assert (link.content["_type"], link.content["predicateType"]) == (STATEMENT, PREDICATE)
        assert link.about["command"][0] == "unlearn" and link.started
        assert {tuple(one) for one in link.content["subject"]} == {("name", "digest")}


def test_the_test_of_a_derived_model_has_the_scores_of_the_run(story):
    report = json.loads((story / "run" / "derived" / "merged" / "report.json").read_text())
    run = json.loads((story / "run" / "report.json").read_text())
    ours, theirs = (one["scores"]["forget"]["probability"] for one in (report, run))
    assert ours["before"]["value"] == theirs["before"]["value"]
    assert ours["after"]["value"] == pytest.approx(theirs["after"]["value"], abs=1e-4)


def test_cleaning_removes_the_text_of_every_report_and_stays_whole(copy):
    """A test of a derived model leaves rows as text too. What cleaning changes, the lineage names anew."""
    texts = [copy / "run" / "measured" / "after-forget.jsonl", copy / "run/derived/merged/measured/after-forget.jsonl"]
    answers = [json.loads(line)["gold"] for path in texts for line in path.read_text().splitlines()]
    assert all(answers) and answers
    assert unlearn("clean", copy / "run").exit_code == 0
    assert not any(json.loads(line)["gold"] for path in texts for line in path.read_text().splitlines())
    assert verified(copy) == (0, {})


def tamper(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"completed"', '"completed" '))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: tamper(f / "run/adapter_model.safetensors"), {"run/adapter_model.safetensors": "changed"}),
        (lambda f: edit(f / "run/report.json"), {"run/report.json": "changed"}),
        (lambda f: (f / "run/report.json").write_text("{"), {"run/report.json": "changed"}),
        (lambda f: (f / "model/model-00002-of-00002.safetensors").unlink(), {
            "base/model-00002-of-00002.safetensors": "missing"}),
        (lambda f: tamper(f / "merged/model.safetensors"), {"merged/model.safetensors": "changed"}),
        (lambda f: edit(f / "run/derived/merged/report.json"), {"run/derived/merged/report.json": "changed"}),
        (lambda f: tamper(f / "run/lineage/0001-forget.json"), None),
        (lambda f: edit2(f / "run/lineage/0002-relearn-attack.json"), {"lineage/0002-relearn-attack.json": "changed"}),
        (lambda f: tamper(f / "run/measured/after-forget.safetensors"), {
            "run/measured/after-forget.safetensors": "changed"}),
        (lambda f: (f / "model/modeling_own.py").write_text("x"), {"base/modeling_own.py": "added"}),
    ],
    ids=["adapter", "report", "broken-report", "shard", "merged", "evaluation", "broken-link", "link", "measured", "code"],
)  # fmt: skip
def test_what_was_touched_is_named(copy, change, named):
    change(copy)
    if named is None:  # no longer JSON
        result = unlearn("verify", copy / "run")
        assert result.exit_code == 2 and "0001-forget.json" in result.stderr
    else:
        assert verified(copy) == (3, named)


def edit2(path: Path) -> None:
    path.write_text(path.read_text().replace('"startedOn": "2', '"startedOn": "1'))


def test_a_swapped_base_is_named(copy):
    shutil.rmtree(copy / "model")
    shutil.copytree(BASELINE, copy / "model")
    code, states = verified(copy)
    assert code == 3 and states["base/model-00001-of-00002.safetensors"] == "missing"
    assert states["base/model.safetensors"] == "added" and "run/adapter_model.safetensors" not in states


def test_a_place_that_is_not_here_is_named(copy, tmp_path):
    elsewhere = unlearn("verify", copy / "run", f"--place=base={tmp_path / 'none'}")
    assert elsewhere.exit_code == 3 and "--place base=DIR says where it is now" in elsewhere.stderr


def test_a_link_that_is_left_out_is_named(copy):
    (copy / "run/lineage/0002-relearn-attack.json").unlink()
    code, states = verified(copy)
    assert code == 3 and states["lineage/0002"] == "missing"


def test_a_signature_covers_the_whole_chain(copy, tmp_path):
    pytest.importorskip("securesystemslib")
    private, public, other = keys(tmp_path)
    assert verified(copy, "--key", public)[0] == 3  # not signed
    assert verified(copy, "--sign-with", private)[0] == 0
    assert verified(copy, "--key", public) == (0, {})
    assert verified(copy, "--key", other)[0] == 3
    link = read_chain(copy / "run")[-1]
    edit(link.path)
    link.path.write_text(link.path.read_text().replace("2.1", "2.2") + " ")
    assert verified(copy, "--key", public)[0] == 3
    refused = unlearn("verify", copy / "run", f"--place=base={tmp_path}", "--sign-with", private)
    assert refused.exit_code == 1 and "not signed" in refused.stderr


def keys(folder: Path) -> tuple[Path, Path, Path]:
    """A private key, its public key, and the public key of another."""
    from cryptography.hazmat.primitives import serialization as to
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    paths = folder / "key.pem", folder / "public.pem", folder / "other.pem"
    private = Ed25519PrivateKey.generate()
    paths[0].write_bytes(private.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption()))
    for path, key in zip(paths[1:], (private, Ed25519PrivateKey.generate()), strict=True):
        path.write_bytes(key.public_key().public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo))
    return paths


def test_what_cannot_be_verified_is_said_with_the_next_step(story, tmp_path):
    for words, said in (
        (("verify", tmp_path), "is not a run folder"),
        (("verify", tmp_path / "nowhere"), "there is no folder"),
        (("verify", story / "run", "--place", "other=x"), "no place other"),
        (("verify", story / "run", "--place", "other"), "NAME=DIR"),
        (("verify", story / "run", "--key", tmp_path / "none.pem"), "cannot be read"),
        (("evaluate", "--model", tmp_path / "none", "--lineage", story / "run"), "not a folder"),
        (("evaluate", story / "merged", "--lineage", tmp_path), "has no lineage"),
    ):
        result = unlearn(*words)
        assert result.exit_code == 2 and said in result.stderr and "hint" in result.stderr, result.stderr


def test_a_place_that_is_no_folder_is_a_broken_statement(copy):
    path = copy / "run/lineage/0001-forget.json"
    statement = json.loads(path.read_text())
    statement["predicate"]["buildDefinition"]["internalParameters"]["places"]["base"] = {"a": 1}
    path.write_text(json.dumps(statement))
    result = unlearn("verify", copy / "run")
    assert result.exit_code == 2 and "is no statement of" in result.stderr, result.stderr
