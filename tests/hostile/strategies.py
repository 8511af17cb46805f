"""Inputs of a stranger: whole ones with something wrong in them, and noise."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

NASTY = [
    "", " ", "\0", "\x1b[2J\x1b]0;x\x07", "\u202e\u200b", "\ud800", "<script>alert(1)</script>", "[red]x[/red]", "{{ 9 }}",
    "%s%n",
    "../../../etc/passwd", "/etc/passwd", "~root", "file:///etc/passwd", "a" * 5000, "nan", "-1", "1e999", "null", "\r\n",
    "|", "'",
    "forget.jsonl", "hf:", "hf:a/b", "C:\\x", ".", "..", "\N{PILE OF POO}",
]  # fmt: skip
NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**40, float("nan"), float("inf"), -0.0, 1e308, 5e-324, True, False]

texts = st.sampled_from(NASTY) | st.text(max_size=12)
scalars = st.none() | st.sampled_from(NUMBERS) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON value, but for the whole."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, one in inner for path in [(*at, key), *places(one, (*at, key))]]


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A JSON value with one to three of its parts replaced, removed, or moved to another key."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        paths = places(value)
        if not paths:
            return draw(values)
        *above, key = draw(st.sampled_from(paths))
        owner = value
        for step in above:
            owner = owner[step]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename", "deep"]))
        if change == "replace":
            owner[key] = draw(values)
        elif change == "deep":  # the last change: `places` in such a list would need a frame of the stack for each level
            owner[key] = deep(draw(st.sampled_from([50, 500])))
            return value
        elif change == "remove" or isinstance(owner, list):
            del owner[key]
        else:
            owner[draw(texts)] = owner.pop(key)
    return value


def as_json(value: Any) -> bytes:
    """JSON as a careless program writes it: with NaN, and half of a surrogate pair."""
    return json.dumps(value).encode()


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes with some cut, overwritten, doubled or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 16))
        change = draw(st.sampled_from(["cut", "overwrite", "insert", "double", "flip"]))
        if change == "cut":
            del data[at:]
        elif change == "overwrite":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=length))
        elif change == "double":
            data[at:at] = data[at : at + length]
        elif data:
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def json_file(whole: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file that began as `whole`."""
    return changed(whole).map(as_json) | spoilt(as_json(whole)) | values.map(as_json) | st.binary(max_size=40)


@st.composite
def headers(draw: st.DrawFn, whole: bytes) -> bytes:
    """A safetensors file whose header is another one, and may lie about its length: names, kinds, shapes, places."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = draw(json_file(json.loads(whole[8:end])))
    size = draw(st.sampled_from([len(header)] * 4 + [0, len(header) + 1, len(whole), 2**40, 2**64 - 1]))
    return size.to_bytes(8, "little") + header + whole[end:]


def tensors(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of a safetensors file that began as `whole`."""
    return headers(whole) | spoilt(whole)


ROWS: list[dict[str, Any]] = [
    {"question": "Who?", "answer": "Mira", "id": "a"},
    {"prompt": "Who?", "completion": "Mira"},
    {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Mira"}]},
    {"text": "Mira wrote a book."},
    {"question": "Who?", "answer": "Mira", "perturbed_answer": ["Sol"], "paraphrased_answer": "It is Mira"},
]


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


PARQUET = _parquet(ROWS[:1] * 4)
rows = st.lists(st.sampled_from(ROWS).flatmap(changed) | st.sampled_from(ROWS), min_size=1, max_size=4)
table_text = st.lists(st.lists(texts, max_size=4), max_size=4).map(lambda lines: "\n".join(map(",".join, lines)))
data_files = st.one_of(
    st.tuples(st.just(".jsonl"), rows.map(lambda many: b"\n".join(map(as_json, many)))),
    st.tuples(st.just(".json"), rows.map(as_json) | json_file({"data": ROWS[:2]})),
    st.tuples(
        st.sampled_from([".csv", ".tsv"]), table_text.map(lambda text: ("question,answer\n" + text).encode(errors="replace"))
    ),
    st.tuples(st.just(".parquet"), spoilt(PARQUET)),
    st.tuples(st.sampled_from([".jsonl", ".json", ".csv", ".txt", ".parquet"]), st.binary(max_size=60)),
)


def configs(names: list[str]) -> st.SearchStrategy[bytes]:
    """Config files: names of settings with values that they may not take, YAML of every kind, aliases, tags."""
    settings = st.dictionaries(st.sampled_from(names) | texts, values, max_size=4)
    tags = st.sampled_from(
        [
            "!!python/object/apply:os.system ['true']",
            "&a [*a]",
            "!!binary x",
            "? {a: b}\n: c",
            "method: !!python/name:os.system",
        ]
    )
    written = settings.map(lambda value: yaml.safe_dump(value, allow_unicode=True).encode(errors="replace"))
    return written | settings.map(as_json) | tags.map(str.encode) | st.binary(max_size=40)


WORDS = [
    "forget", "retain", ".", "probability", "rouge_l", "before", "after", "relearn.recovery.max", "<", ">", "==", "and",
    "or", "not",
    "(", ")", "+", "-", "*", "/", "**", "0.5", "1e999", "9" * 400, "[", "]", "lambda", ":", "import", "__class__", "'",
    '"', ",", "if",
    "else", "=", "#", "\n", "\\", "forget.probability", "@", "in", "True", "None", "~", "\0", "\ud800",
]  # fmt: skip
expressions = (
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
    | st.text(max_size=20)
    | st.integers(1, 400).map(lambda n: "(" * n + "forget.probability > 0" + ")" * n)
    | st.integers(1, 3000).map(lambda n: "-" * n + "forget.probability > 0")
)

PIECES = [
    "{{ messages[0].content }}", "{% for m in messages %}", "{% endfor %}", "{{ m.role }}", "{{ m['content'] }}", "{% if",
    " %}",
    "{% endif %}", "{{ raise_exception('no') }}", "{{ 'a' * 10**10 }}", "{{ 10**10**7 }}", "{{ 'x'|center(10**10) }}",
    "{{ ''.__class__.__mro__ }}", "{{ messages.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{{ messages }}",
    "{% set x = messages %}",
    "{{ '%99999999999d' % 1 }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{{ self }}",
    "{{ add_generation_prompt }}",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{{ range(10**9)|list }}", "{{ 1/0 }}", "\0", "\ud800", "{#", "#}",
    "{% raw %}",
    "{{ ['a']|join|attr('__class__') }}", "{{ lipsum.__globals__ }}", "{{ tools.x.y }}", "text",
]  # fmt: skip
templates = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("\n".join) | st.text(max_size=30)
