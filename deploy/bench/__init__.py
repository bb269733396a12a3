"""`coins bench`: ours and its yardsticks, measured side by side in one run on the same servers (DESIGN §9).

`figures.py` is the table of what can be measured; each group of figures has a file of its own.
"""
