"""What runs when its time has come, a file a subject. A job is a function of a `Run`; `schedulers/schedule.py` names all."""
