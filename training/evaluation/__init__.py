"""How good a model is: figures with intervals, by slices, beside peers; the report, the gate, the card, the limits."""
