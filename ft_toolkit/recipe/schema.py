"""Base class and field types of the recipe's sections."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
# A probability or a share: 0 is allowed, 1 is not.
Share = Annotated[float, Field(ge=0, lt=1)]
# Text that must not be empty.
Name = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Base of the recipe's sections: frozen and strict, without unknown keys, NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def conflict(self) -> str | None:
        """Return the problem between the keys of this section, or None.

        Implementations may only test which keys are set: the loader also calls this on sections with invalid values.
        """
        return None

    @model_validator(mode="after")
    def _raise_conflict(self) -> Self:
        if problem := self.conflict():
            raise ValueError(problem)
        return self
