"""Settings that every process reads from its environment before anything starts."""

import json
import re
import sys
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

MIN_TOKEN_KEY_BYTES = 32  # RFC 7518, 3.2: an HS256 key is at least as long as the hash

# A `SettingsError` is of a variable that was to be JSON and is not; the field is in its text only.
SETTINGS_ERRORS = (ValidationError, SettingsError)
_FIELD_IN_TEXT = re.compile(r'for field "(\w+)"')


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
    except SETTINGS_ERRORS as error:
        print(describe(error, settings), file=sys.stderr)
        raise SystemExit(2) from None


def describe(error: ValidationError | SettingsError, settings: type[BaseSettings]) -> str:
    """Return one line a problem, with names of environment variables and without values."""
    lines = [f"{settings.__name__}: refusing to start, nothing was changed."]
    lines += [f"  {problem}" for problem in problems(error, settings)]
    lines.append("Correct the environment variables named above and start again.")
    return "\n".join(lines)


def problems(error: ValidationError | SettingsError, settings: type[BaseSettings]) -> list[str]:
    """Return what is wrong with each variable, where in it, and what it may be like; no values."""
    if isinstance(error, SettingsError):
        return [_unreadable(error, settings)]
    settings = _class_named(error.title, settings)
    found = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name, *inside = (str(part) for part in problem["loc"] or ("settings",))
        where = f"{'.'.join(inside)}: " if inside else ""
        said = problem["msg"].removeprefix("Value error, ")
        found.append(f"{_variable(name, settings)}: {where}{said}{_expected(name, settings)}")
    return found


def _unreadable(error: SettingsError, settings: type[BaseSettings]) -> str:
    named = _FIELD_IN_TEXT.search(str(error))
    name = named[1] if named else "settings"
    settings = _class_with(name, settings)
    cause = error.__cause__
    # Its text has the place and none of the content.
    why = f"is not JSON: {cause}" if isinstance(cause, json.JSONDecodeError) else "cannot be read"
    return f"{_variable(name, settings)}: {why}{_expected(name, settings)}"


def _variable(name: str, settings: type[BaseSettings]) -> str:
    """Return the environment variable of a field; what is none is a variable's name already."""
    field = settings.model_fields.get(name)
    if field is None:
        return name.upper()
    if isinstance(field.validation_alias, str):
        return field.validation_alias.upper()
    return f"{settings.model_config.get('env_prefix') or ''}{name}".upper()


def _expected(name: str, settings: type[BaseSettings]) -> str:
    """Return what a variable may be like, if its field has an example."""
    field: FieldInfo | None = settings.model_fields.get(name)
    if field is None or not field.examples:
        return ""
    return f" (expected is JSON like {json.dumps(field.examples[0])})"


def _held_by(settings: type[BaseSettings]) -> list[type[BaseSettings]]:
    """Return the classes of settings that fields of `settings` hold."""
    held = [field.annotation for field in settings.model_fields.values()]
    return [each for each in held if isinstance(each, type) and issubclass(each, BaseSettings)]


def _class_named(title: str, settings: type[BaseSettings]) -> type[BaseSettings]:
    """Return the class that an error is about: `settings`, or one that a field of it holds."""
    return next((each for each in _held_by(settings) if each.__name__ == title), settings)


def _class_with(name: str, settings: type[BaseSettings]) -> type[BaseSettings]:
    """Return the class that has this field: `settings`, or one that a field of it holds."""
    all_of_them = (settings, *_held_by(settings))
    return next((each for each in all_of_them if name in each.model_fields), settings)
