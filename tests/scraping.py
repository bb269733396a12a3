"""What Prometheus is told, as it reads it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port

Sample = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Scraped:
    """Of some processes: values by name and labels, and of each metric its type and its labels."""

    values: dict[Sample, float] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    labels_of_samples: dict[str, set[str]] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        """Raises KeyError for what was not told."""
        return self.values[name, frozenset(labels.items())]

    def read(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.types[name] = family.type
            known = self.labels.setdefault(name, set())
            for one in family.samples:
                self.values[one.name, frozenset(one.labels.items())] = one.value
                self.labels_of_samples.setdefault(one.name, set()).update(one.labels)
                known.update(set(one.labels) - {"le"})


def scraped(*addresses: str) -> Scraped:
    """What is told at these addresses, together."""
    found = Scraped()
    for address in addresses:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            found.read(answer.read().decode())
    return found


def free_addresses(number: int) -> Iterable[str]:
    """Of this machine, where nobody listens."""
    return [f"127.0.0.1:{free_port()}" for _ in range(number)]
