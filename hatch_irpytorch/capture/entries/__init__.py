"""Formulas of single entries: functions, powers, comparisons, whole numbers, dtypes."""
