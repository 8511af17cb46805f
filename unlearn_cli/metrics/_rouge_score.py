"""Import rouge-score with the one file of nltk that it needs, the Porter stemmer.

`import nltk` loads taggers, parsers, corpora and scipy.stats: a second of CPU time. Here the packages are in place without
their `__init__` while rouge-score is imported. A later `import nltk` gets the whole package.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

_LOADED = {name for name in sys.modules if name.partition(".")[0] == "nltk"}
if not _LOADED:
    for _name in ("nltk", "nltk.stem"):
        _spec = find_spec(_name)
        assert _spec is not None, f"{_name} is not installed"
        sys.modules[_name] = module_from_spec(_spec)
try:
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenize import tokenize
finally:
    if not _LOADED:
        for _name in [name for name in sys.modules if name.partition(".")[0] == "nltk"]:
            del sys.modules[_name]

__all__ = ["PorterStemmer", "RougeScorer", "tokenize"]
