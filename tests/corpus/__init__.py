"""Photo files of every kind that is read or refused, written by hand or by writers that the readers know nothing of.

Each comes with the picture that it has to give, which is the drawing it was made of, or with the code of its error.
"""
