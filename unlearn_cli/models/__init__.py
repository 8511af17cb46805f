"""The only importers of transformers, peft and bitsandbytes."""

import logging
import warnings

# bitsandbytes reports a missing optional CPU kernel when it is imported; nobody can act on that.
logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
# peft still calls transformers by names that are going away.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
