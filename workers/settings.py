"""Every setting, read from the environment with the prefix `COINS_` (secrets also from `COINS_<NAME>_FILE`).

With neither a database nor a Redis set, the endpoints of the embedded system under `DATA_DIR` are used:
`coins up` writes them there, and every other verb finds them.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from messages.streams import MAX_PARTITIONS
from messages.wording import say
from workers.errors import NotReady, SettingsInvalid

PREFIX = "COINS_"
ENDPOINTS_FILE = "endpoints.json"
SECRETS = ("database_url", "redis_url", "edge_url", "smtp_url")
HIDDEN = "********"
# What stands between the user and the last `@`, whatever is in it; and `password`, `sslpassword` among the parameters.
_PASSWORD = re.compile(r"^([^:/]+://[^:@/?]*:).*@", re.DOTALL)
_PASSWORD_IN_QUERY = re.compile(r"([?&][^=&;]*pass[^=&;]*=)[^&;]*", re.IGNORECASE)


class Settings(BaseSettings):
    """The settings of CONTRACT §11. Build it with `load`, which also knows where each value came from."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: SecretStr | None = Field(None, description="postgresql://… of the ledger")
    redis_url: SecretStr | None = Field(None, description="redis://… or unix://… for jobs, and for the edge")
    edge_url: SecretStr | None = Field(None, description="where commands come in; default: the Redis")
    data_dir: Path = Field(Path(".coins"), description="the embedded system's files")
    partitions: int = Field(
        1, ge=1, le=MAX_PARTITIONS, description="how many partitions commands are spread over"
    )
    producers_file: Path | None = Field(None, description="TOML: who may send what")
    smtp_url: SecretStr | None = Field(None, description="smtp://… for mail; without it mails become files")
    mail_from: str = Field("coins@localhost", description="the sender of mails")
    files_dir: Path | None = Field(None, description="where exports and receipts go; default: under DATA_DIR")
    scale: int = Field(0, ge=0, le=6, description="how many decimals people see")
    log_format: Literal["console", "json"] = Field("console", description="how logs are written")
    metrics_address: str | None = Field(None, description="HOST:PORT of the Prometheus metrics; default: off")
    events_keep: int = Field(1_000_000, ge=1_000, description="about how many events a stream keeps")
    commands_keep: int = Field(0, ge=0, description="seconds that read commands stay on the edge")

    @field_validator("partitions", "scale", "events_keep", "commands_keep", mode="before")
    @classmethod
    def _blank_is_default(cls, value: Any) -> Any:
        return value if not isinstance(value, str) else value.strip()

    @property
    def database(self) -> str:
        """The database's URL. Raises NotReady where neither a setting nor an embedded system gives one."""
        return _endpoint(self.database_url, "DATABASE_URL", self.redis_url, "REDIS_URL", self.data_dir)

    @property
    def redis(self) -> str:
        """The Redis' URL. Raises NotReady where neither a setting nor an embedded system gives one."""
        return _endpoint(self.redis_url, "REDIS_URL", self.database_url, "DATABASE_URL", self.data_dir)

    @property
    def edge(self) -> str:
        """The URL of the queue where commands come in."""
        return self.edge_url.get_secret_value() if self.edge_url else self.redis

    @property
    def files(self) -> Path:
        return self.files_dir or self.data_dir / "files"

    @property
    def mail_dir(self) -> Path:
        """Where mails are written to as files, without a mail server."""
        return self.data_dir / "mail"


def load(data_dir: Path | None = None) -> Settings:
    """Read the environment, the secrets' files, and for what is missing the embedded system's endpoints.

    Raises SettingsInvalid with the name of each setting that is wrong and what is wrong with it.
    """
    return load_with_sources(data_dir)[0]


def load_with_sources(data_dir: Path | None = None) -> tuple[Settings, dict[str, str]]:
    """As `load`, with where each value came from: `environment`, `file …`, `embedded …`, `option` or `default`."""
    given: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    for name in Settings.model_fields:
        if os.environ.get(PREFIX + name.upper()):
            sources[name] = f"environment {PREFIX}{name.upper()}"
        elif name in SECRETS and (file := os.environ.get(f"{PREFIX}{name.upper()}_FILE")):
            given[name] = _secret_of(name, Path(file))
            sources[name] = f"file {file}"
    if data_dir is not None:
        given["data_dir"], sources["data_dir"] = data_dir, "option --data"
    try:
        settings = Settings(**given)
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'.'.join(str(part) for part in fault['loc']).upper()}: {say(fault)}"
            for fault in error.errors()
        )
        raise SettingsInvalid(f"{wrong}. Mend the environment; `coins config` lists every setting.") from None
    if settings.database_url is None and settings.redis_url is None:
        for name, value in embedded_endpoints(settings.data_dir).items():
            if name in (*SECRETS, "producers_file", "partitions") and sources[name] == "default":
                given[name] = value
                sources[name] = f"embedded system in {settings.data_dir}"
        settings = Settings(**given)
    return settings, sources


def embedded_endpoints(data_dir: Path) -> dict[str, str]:
    """What `coins up` wrote of the system under `data_dir`: URLs, and files; empty where none was ever started."""
    try:
        found: dict[str, str] = json.loads((data_dir / ENDPOINTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise SettingsInvalid(f"{data_dir} is no directory; name the embedded system's directory") from None
    except (OSError, ValueError) as error:
        raise SettingsInvalid(
            f"{data_dir / ENDPOINTS_FILE} cannot be read ({error}). Run `coins up` again."
        ) from error
    return found


def without_password(url: str) -> str:
    """A URL, or several with a `;` between them, to be shown: the password hidden, and all of it where it is no URL."""
    shown = [_PASSWORD.sub(rf"\1{HIDDEN}@", one) for one in url.split(";")]
    if not all(re.match(r"[a-z][a-z0-9+.-]*://", one, re.IGNORECASE) for one in shown):
        return HIDDEN
    return _PASSWORD_IN_QUERY.sub(rf"\1{HIDDEN}", ";".join(shown))


def _secret_of(name: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{PREFIX}{name.upper()}_FILE: {file} cannot be read ({error}).") from error


def _endpoint(
    url: SecretStr | None, name: str, other: SecretStr | None, other_name: str, data_dir: Path
) -> str:
    if url is None and other is not None:
        raise NotReady(
            f"{PREFIX}{other_name} is set and {PREFIX}{name} is not; set both, or neither to use the embedded system."
        )
    if url is None:
        raise NotReady(
            f"no {PREFIX}{name} is set and no embedded system runs in {data_dir.absolute()}. "
            "Start one with `coins up`, or set the environment (see `coins config`)."
        )
    return url.get_secret_value()
