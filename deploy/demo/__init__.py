"""`coins demo`: a day of three enterprises on a system of its own, start to end. Begin with `run.py`.

`day.ndjson` is the day: each line is a message as it is put on the edge, garbage included. `day.expected.json` is what must
come of it. Both are made by `make_day.py`, from `cast.py`, and never edited by hand.
"""
