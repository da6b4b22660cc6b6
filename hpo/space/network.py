"""The section `network` of a space file: the network that is built for each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainValidator, field_validator, model_validator

from hpo.core.config import ObjectName, Section, config_errors
from hpo.core.yaml_document import Mistake, format_value
from hpo.nets import SKIPS
from hpo.nn.mlp import ACTIVATIONS
from hpo.regularizers import FAMILY
from hpo.space import parser
from hpo.space.hyperparameter import Hyperparameter

WIDTHS = {"mlp": 128, "resnet": 128, "cnn": 16}  # default widths
MLP_KEYS = ("skip", "batch_norm", "layer_norm")  # set here, or searched under `search`


def _arguments(raw: Any) -> dict[str, Hyperparameter]:
    """`network.search`: the arguments of the factory, sorted by name."""
    return dict(sorted(parser.parse_mapping(raw, ("network", "search"), parser.parse_argument).items()))


class NetworkConfig(Section):
    """The network of each trial; `search` contains further arguments of its factory, fixed or sampled."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    init: str | None = None  # an exported directory, a .safetensors file, or runs:/RUN_ID
    kind: Literal["mlp", "resnet", "cnn", "module"] = "mlp"
    factory: ObjectName | None = None  # for kind module
    width: Annotated[int, Field(ge=1, le=int(FAMILY["width"].allowed[1]))] | None = None
    activation: Literal[*ACTIVATIONS] = "relu"  # type: ignore[valid-type]  # from a table
    skip: Literal[*SKIPS] = "none"  # type: ignore[valid-type]  # from a table
    batch_norm: bool = False
    layer_norm: bool = False
    image: list[int] | None = None  # channels, height, width
    search: Annotated[dict[str, Hyperparameter], PlainValidator(_arguments)] = {}

    @model_validator(mode="before")
    @classmethod
    def _default_width(cls, raw: Any) -> Any:
        """Set the default width of the kind, unless it is module or `init` is given, whose weights set the width."""
        if not isinstance(raw, Mapping) or raw.get("init") is not None:
            return raw
        width = WIDTHS.get(kind) if isinstance(kind := raw.get("kind", "mlp"), str) else None
        return raw if width is None else {"width": width, **raw}

    @field_validator("image")
    @classmethod
    def _valid_image(cls, image: list[int] | None) -> list[int] | None:
        if image is not None and (len(image) != 3 or min(image) < 1):
            raise ValueError(f"must be [channels, height, width], got {format_value(image)}.")
        return image

    @model_validator(mode="after")
    def _keys_match_kind(self) -> NetworkConfig:
        if mistakes := list(_network_rules(self)):
            raise config_errors(*mistakes)
        return self


def _network_rules(network: NetworkConfig) -> Iterator[Mistake]:
    """Check the keys of the section against each other."""
    kind, named = network.kind, network.model_fields_set
    if network.factory is not None and kind != "module":
        yield Mistake(("network", "factory"), f"needs kind: module, got kind: {kind}.")
    yield from (
        Mistake(("network", key), f"needs kind: mlp, got kind: {kind}.")
        for key in ("activation", *MLP_KEYS)
        if key in named and kind != "mlp"
    )
    if kind == "mlp":
        yield from (
            Mistake(
                ("network", "search", key),
                "is not available with kind: mlp, whose keys are searched under search.",
            )
            for key in network.search
        )
