"""Originals, mattes and results behind one contract."""
