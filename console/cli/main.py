"""The command line `coins`: which verbs there are, and what their failures mean. Each verb is in a file of its own kind.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not ready, 4 a command was rejected, 5 verification found a difference.
"""

from __future__ import annotations

import sys

import typer

from console.cli import dead, jobs, processes, producers, safekeeping, sending, system
from console.cli.reads import READS
from ledger.errors import DatabaseUnavailable, LedgerError, QueryInvalid, SchemaOutdated
from messages.errors import EdgeUnavailable, EventInvalid, MessagesError
from workers.errors import NotReady, SettingsInvalid, WorkersError

FAILED, WRONG_USAGE, NOT_READY, REJECTED, DIFFERENT = 1, 2, 3, 4, 5

app = typer.Typer(
    name="coins",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Prepaid credits: commands in, a double-entry ledger, outcomes out.\n\n"
    "Begin with `coins demo`, or with `coins up` and, in another terminal, `coins do OpenAccount account=acme "
    'parent=platform kind=enterprise name="Acme"`.',
)

for module in (processes, sending, system, jobs, dead, producers, safekeeping):
    module.register(app)
for verb, read in READS.items():
    app.command(verb)(read)


def main() -> None:
    """Run a verb; a fault ends with one line on stderr and the exit code that belongs to it."""
    try:
        app()
    except (SettingsInvalid, QueryInvalid, EventInvalid) as error:
        _end(error, WRONG_USAGE)
    except (NotReady, DatabaseUnavailable, SchemaOutdated, EdgeUnavailable) as error:
        _end(error, NOT_READY)
    except (LedgerError, WorkersError, MessagesError) as error:
        _end(error, FAILED)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        # What the client of a server raises: it was there and is gone, or is not what it should be.
        if type(error).__module__.partition(".")[0] not in (
            "psycopg",
            "sqlalchemy",
            "redis",
            "amqp",
            "kombu",
        ):
            raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        _end(f"{said[0]}; is the server there, and has `coins migrate` been run?", NOT_READY)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(error: Exception | str, code: int) -> None:
    # A process that writes its logs as JSON, which is only known once it has begun to, says this in the same way.
    logs = sys.modules.get("workers.logs")
    if logs is None or not logs.last_words(str(error)):
        typer.echo(f"coins: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
