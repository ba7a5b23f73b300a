"""Files into bytes, text and plain values: UTF-8, JSON and YAML, with the place of what is wrong."""
