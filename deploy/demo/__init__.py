"""`coins demo`: a day of a prepaid-credit business on a system of its own, start to end. Begin with `run.py`.

Who takes part: `cast.py` and `distribution.py`. What is told step by step: `scenes.py`. What happens in the crowd, all day:
the `…_side.py`, one for each producer. What must come of it: `expectation.py`, reckoned with none of the ledger's code.

`day.ndjson` is the day: each line is a message as it is put on the edge, garbage included. `day.expected.json` is what must
come of it. Both are made by `make_day.py` and never edited by hand.
"""
