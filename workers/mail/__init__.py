"""Mail: what it says (`texts.py`), how it is built (`message.py`), sent (`transport.py`) and tried again (`retries.py`)."""
