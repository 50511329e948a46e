"""Settings: one class, read from `RECOGNIZER_*` variables, else from `recognizer.yaml` in the home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from recognizer.errors import UsageError
from recognizer.home import Home, default_home
from recognizer.predictions import Retention


def _as_home(value: object) -> Home:
    home = value if isinstance(value, Home) else Home(Path(str(value)).expanduser().resolve())
    if home.root.exists() and not home.root.is_dir():
        raise ValueError(f"{home.root} is a file; name a folder")
    return home


def _as_clock(value: object) -> object:
    # YAML 1.1 takes an unquoted 22:30 for a number of base 60
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60}:{value % 60:02d}"
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time of day; write HH:MM")
    return value


class Settings(BaseSettings):
    """What may differ between one installation and the next. What a model is made of lies in `params.yaml`."""

    model_config = SettingsConfigDict(env_prefix="RECOGNIZER_", env_ignore_empty=True, extra="forbid", frozen=True)

    home: Annotated[Home, NoDecode, BeforeValidator(_as_home)] = Field(
        default_factory=lambda: Home(default_home()), description="folder that holds all state; default: the checkout"
    )
    store_url: str | None = Field(default=None, description="database URL; default: SQLite in the home")
    mlflow_uri: str | None = Field(default=None, description="MLflow tracking URI; default: SQLite in the home")
    time_zone: str = Field(default="UTC", description="zone in which nights are named and scheduled")
    night_start: Annotated[str, BeforeValidator(_as_clock)] = Field(
        default="02:00", description="local time at which the night's window starts, HH:MM"
    )
    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    prefect_port: int = Field(default=4200, ge=1, le=65535, description="port of the Prefect server we start")
    workers: int = Field(default=1, ge=1, description="serving processes")
    poll_seconds: float = Field(default=0.1, gt=0, le=60, description="how often a worker compares with the store")
    session_threads: int = Field(default=1, ge=1, description="onnxruntime threads of one session")
    body_limit_mb: int = Field(default=16, ge=1, le=1024, description="largest request body in MB")
    deadline_ms: int = Field(default=1000, ge=10, le=600_000, description="a request is answered within this time")
    challenger_threads: int = Field(default=2, ge=1, le=64, description="threads a worker gives to one challenger")
    challenger_memory_mb: int = Field(
        default=1024, ge=16, description="a challenger's run is given up when its worker grows by more meanwhile"
    )
    shadow_duty: float = Field(default=0.05, gt=0, le=1, description="share of the time in which a worker shadows")
    shadow_queue: int = Field(default=16, ge=1, le=4096, description="requests that wait for a shadow, more are lost")
    breaker_failures: int = Field(default=5, ge=1, description="failures of a challenger that open its breaker")
    breaker_seconds: float = Field(default=30.0, gt=0, description="how long a breaker stays open before it probes")
    breaker_successes: int = Field(default=3, ge=1, description="successful probes that close a breaker")
    strategy: Literal["canary", "shadow", "blue-green", "immediate"] = Field(
        default="canary", description="how a blessed version goes into service"
    )
    canary_shares: tuple[float, ...] = Field(
        default=(0.05, 0.09), description="shares of the canary steps, a JSON list"
    )
    holdback: float = Field(default=0.05, ge=0, lt=0.1, description="share of the champion before during the bake")
    bake_minutes: float = Field(default=60.0, ge=0, description="how long a new champion is watched at least")
    step_hours: float = Field(default=24.0, gt=0, description="after this long without a verdict a person is asked")
    quiesce_seconds: float = Field(default=30.0, gt=0, description="a replaced model still in use after this is a leak")
    prediction_days: float = Field(default=30.0, gt=0, description="how long an answer can be found and feedback given")
    input_share: float = Field(default=0.01, ge=0, le=1, description="share of the champion's inputs that is kept")
    unsure_below: float = Field(default=0.6, ge=0, le=1, description="inputs answered with less confidence are kept")
    input_limit_mb: int = Field(default=2048, ge=0, description="kept inputs in MB, 0 for none; the oldest go first")
    lease_seconds: float = Field(default=60.0, gt=1, description="a night whose lease is older may be taken over")
    admin_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="who sends it may steer rollouts over HTTP; without one only this machine may",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is no time zone; use a name such as Europe/Berlin") from error
        return name

    @field_validator("night_start")
    @classmethod
    def _clock_time(cls, text: str) -> str:
        hour, colon, minute = text.partition(":")
        if not (colon and hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
            raise ValueError(f"{text!r} is no time of day; write HH:MM")
        return f"{int(hour):02d}:{int(minute):02d}"

    @property
    def database_url(self) -> str:
        return self.store_url or f"sqlite:///{self.home.store}"

    @property
    def retention(self) -> Retention:
        return Retention(self.prediction_days, self.input_share, self.unsure_below, self.input_limit_mb * 1024**2)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then `recognizer.yaml` of the home the first two name."""
        named = {**env_settings(), **init_settings()}
        try:
            home = _as_home(named.get("home") or default_home())
        except ValueError:
            return init_settings, env_settings  # validation says what is wrong with it
        from_file = _read_yaml(home.root / "recognizer.yaml")
        return init_settings, env_settings, InitSettingsSource(settings_cls, from_file)


def _read_yaml(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    hint = "write one `name: value` a line, such as `time_zone: Europe/Berlin`"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"is not YAML: {' '.join(str(error).split())[:300]}", where=str(path), hint=hint) from error
    content = {} if content is None else content
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UsageError("expected `name: value` lines", where=str(path), hint=hint)
    if "home" in content:
        raise UsageError("the home cannot be named by a file inside it", where=str(path), hint="set RECOGNIZER_HOME")
    return content


def load_settings(**overrides: object) -> Settings:
    """Read the settings.

    Raises:
        UsageError: a value is not valid; names the variable and the reason.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"setting {name}: {first['msg'].removeprefix('Value error, ')}",
            hint=f"correct RECOGNIZER_{name.upper()} or recognizer.yaml in the home",
        ) from error
