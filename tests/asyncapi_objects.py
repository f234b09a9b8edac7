"""The objects of the AsyncAPI Specification 3.0.0, as far as our document has them: which fields, which are needed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]+$")]
Uri = Annotated[str, StringConstraints(pattern=r"^#/")]
Expression = Annotated[str, StringConstraints(pattern=r"^\$message\.(header|payload)#(/.+)+$")]
Schema = dict[str, Any]


class Part(BaseModel):
    """Fields that the specification does not know begin with x-."""

    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="after")
    def _extended(self) -> Part:
        strange = [name for name in self.__pydantic_extra__ or () if not name.startswith("x-")]
        assert not strange, f"{type(self).__name__} has no {strange}"
        return self


class Reference(BaseModel):
    """Stands for what is described elsewhere, and says nothing more."""

    model_config = ConfigDict(extra="forbid")
    ref: Uri = Field(alias="$ref")


class Info(Part):
    title: str
    version: str
    description: str = ""


class Variable(Part):
    default: str
    description: str = ""
    enum: list[str] = []


class Server(Part):
    host: str
    protocol: str
    protocolVersion: str = ""  # noqa: N815
    variables: dict[Name, Variable] = {}
    security: list[Reference] = []


class Parameter(Part):
    description: str = ""
    enum: list[str] = []


class Exchange(Part):
    name: Annotated[str, StringConstraints(max_length=255)]
    type: Literal["topic", "direct", "fanout", "default", "headers"]
    durable: bool
    autoDelete: bool  # noqa: N815


class Queue(Part):
    name: Annotated[str, StringConstraints(max_length=255)]
    durable: bool
    exclusive: bool
    autoDelete: bool  # noqa: N815


class AmqpChannel(Part):
    """The AMQP channel binding 0.3.0: a routing key of an exchange, or a queue."""

    kind: Literal["routingKey", "queue"] = Field(alias="is")
    exchange: Exchange | None = None
    queue: Queue | None = None
    bindingVersion: Literal["0.3.0"]  # noqa: N815

    @model_validator(mode="after")
    def _one(self) -> AmqpChannel:
        assert (self.exchange is None, self.queue is None) == ((self.kind == "queue"), (self.kind != "queue"))
        return self


class AmqpOperation(Part):
    deliveryMode: Literal[1, 2]  # noqa: N815
    mandatory: bool = False
    bindingVersion: Literal["0.3.0"]  # noqa: N815


class ChannelBindings(Part):
    amqp: AmqpChannel


class OperationBindings(Part):
    amqp: AmqpOperation


class Channel(Part):
    address: str
    description: str = ""
    messages: dict[Name, Reference]
    parameters: dict[Name, Parameter] = {}
    bindings: ChannelBindings


class ReplyAddress(Part):
    location: Expression


class OperationReply(Part):
    address: ReplyAddress
    channel: Reference
    messages: list[Reference]


class Operation(Part):
    action: Literal["send", "receive"]
    channel: Reference
    messages: list[Reference]
    reply: OperationReply | None = None
    bindings: OperationBindings | None = None


class CorrelationId(Part):
    location: Expression


class Message(Part):
    name: str
    summary: str
    description: str = ""
    contentType: str  # noqa: N815
    correlationId: CorrelationId | None = None  # noqa: N815
    payload: Reference


class SecurityScheme(Part):
    type: Literal["userPassword"]
    description: str = ""


class Components(Part):
    messages: dict[Name, Message]
    schemas: dict[Name, Schema]
    securitySchemes: dict[Name, SecurityScheme]  # noqa: N815


class Document(Part):
    asyncapi: Literal["3.0.0"]
    info: Info
    defaultContentType: str  # noqa: N815
    servers: dict[Name, Server]
    channels: dict[str, Channel]
    operations: dict[str, Operation]
    components: Components
