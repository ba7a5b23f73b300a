"""Free axes: which extents of a graph's values may be others at run time, proven."""
