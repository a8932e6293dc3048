"""The pages: templates, and what goes into them. Tables and arrays in, text and plain data out."""
