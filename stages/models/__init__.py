"""Everything that knows transformers: loading, tokenising, where Q, K and V sit, and catching them."""
