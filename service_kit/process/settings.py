"""Settings that every process reads from its environment before anything starts."""

import sys
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIN_TOKEN_KEY_BYTES = 32  # RFC 7518, 3.2: an HS256 key is at least as long as the hash


class ServiceSettings(BaseSettings):
    """Settings shared by all processes; a service adds its own under its own prefix."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    environment: Literal["local", "production"] = Field("local", validation_alias="ENVIRONMENT")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL"
    )
    log_format: Literal["console", "json"] = Field("json", validation_alias="LOG_FORMAT")
    token_key: SecretStr = Field(validation_alias="TOKEN_KEY")
    token_audience: str = Field("valerix", validation_alias="TOKEN_AUDIENCE", min_length=1)
    fault_injection: bool = Field(False, validation_alias="FAULT_INJECTION")

    @field_validator("token_key")
    @classmethod
    def _key_is_long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value().encode()) < MIN_TOKEN_KEY_BYTES:
            raise ValueError(f"needs at least {MIN_TOKEN_KEY_BYTES} bytes")
        return key

    @model_validator(mode="after")
    def _no_faults_in_production(self) -> Self:
        if self.environment == "production" and self.fault_injection:
            raise ValueError("FAULT_INJECTION=true is refused when ENVIRONMENT=production")
        return self


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Read the settings from the environment or end the process with exit code 2.

    The message names each variable and what is wrong with it, never its value.
    """
    try:
        return settings()
    except ValidationError as error:
        print(describe(error, settings), file=sys.stderr)
        raise SystemExit(2) from None


def describe(error: ValidationError, settings: type[BaseSettings]) -> str:
    """Return one line a problem, with names of environment variables and without values."""
    lines = [f"{settings.__name__}: refusing to start, nothing was changed."]
    settings = _class_named(error.title, settings)
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        prefix = settings.model_config.get("env_prefix") or ""
        if name in settings.model_fields:
            name = prefix + name
        lines.append(f"  {name.upper()}: {problem['msg'].removeprefix('Value error, ')}")
    lines.append("Correct the environment variables named above and start again.")
    return "\n".join(lines)


def _class_named(title: str, settings: type[BaseSettings]) -> type[BaseSettings]:
    """Return the class that an error is about: `settings`, or one that a field of it holds."""
    held = [field.annotation for field in settings.model_fields.values()]
    return next(
        (
            each
            for each in held
            if isinstance(each, type) and issubclass(each, BaseSettings) and each.__name__ == title
        ),
        settings,
    )
