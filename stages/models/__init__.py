"""Everything that knows transformers: loading, tokenising, where Q, K and V sit, and catching them."""

import gc
from importlib import import_module

# A million objects that all stay: looking for garbage among them would take a third of the time that this takes.
collecting = gc.isenabled()
gc.disable()
import_module("transformers.modeling_utils")
gc.freeze()
if collecting:
    gc.enable()
