"""Base of the models that services answer with."""

from pydantic import BaseModel, ConfigDict


class ResponseModel(BaseModel):
    """A frozen answer; consumers ignore members that later versions add."""

    model_config = ConfigDict(frozen=True, extra="ignore")
