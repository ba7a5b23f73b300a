"""Files into bytes, text and plain values, with the place of what is wrong."""
