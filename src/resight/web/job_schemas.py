"""The requests and responses about jobs, and about the moves that they made."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from resight.web.schemas import Id, RequestModel


class JobRequest(RequestModel):
    """A job: re-index the collection's folders (or index other ones), or remove or move photos."""

    action: Literal["index", "remove", "move", "undo-move"]
    folders: list[Annotated[str, Field(min_length=1, max_length=4096)]] | None = Field(
        None,
        max_length=100,
        description="index: absolute folders of the server; only for clients on the same machine",
    )
    prune: bool = Field(False, description="index: remove photos whose files are gone")
    prune_most: bool = Field(
        False, description="index: remove them even if most photos of a folder are gone"
    )
    photos: list[Id] | None = Field(
        None, min_length=1, max_length=10_000, description="remove, move: the ids of the photos"
    )
    to: str | None = Field(
        None, min_length=1, max_length=4096, description="move: an absolute folder of the server"
    )
    trash: bool = Field(False, description="move: to the trash of the server's system instead")
    move: str | None = Field(
        None, max_length=64, description="undo-move: the id of a move, by default the last one"
    )

    @model_validator(mode="after")
    def _check_action(self) -> "JobRequest":
        indexing = self.folders is not None or self.prune or self.prune_most
        moving = self.to is not None or self.trash
        if (self.action in ("remove", "move")) != (self.photos is not None):
            raise ValueError("photos are for the actions remove and move, which need them")
        if indexing and self.action != "index":
            raise ValueError("folders and prune are for the action index")
        if moving != (self.action == "move") or (self.to is not None and self.trash):
            raise ValueError("the action move, and only it, needs either to or trash")
        if self.move is not None and self.action != "undo-move":
            raise ValueError("move is for the action undo-move")
        return self


class PastMove(BaseModel):
    """A move whose files are not all back; `photos` are those away.

    `folder` is its path only for clients on the same machine, null for the trash.
    """

    id: str
    started: str = Field(description="when, in UTC")
    photos: int
    trash: bool
    folder: str | None


class MovesResponse(BaseModel):
    """The moves that can be undone, the newest first."""

    moves: list[PastMove]


class JobProgress(BaseModel):
    """The progress of a job."""

    what: str
    done: int
    total: int


class JobResponse(BaseModel):
    """A job."""

    id: str
    action: str
    state: Literal["running", "done", "failed"]
    progress: JobProgress
    detail: str | None
    result: dict[str, Any] | None


class JobStarted(BaseModel):
    """The id of a job that was started."""

    id: str


class WatchRequest(RequestModel):
    """The switch that watches the collection's folders."""

    watching: bool


class WatchResponse(BaseModel):
    """The state of the watch, and its last look at the folders."""

    watching: bool
    allowed: bool = Field(description="whether it can be switched on")
    every_s: float = Field(description="seconds between two looks, or more for large collections")
    looked: str | None = Field(description="time of the last look, in UTC")
    folders: int = Field(description="folders that were looked at")
    missing: int = Field(description="folders that were not there")
    added: int = Field(description="photos added so far")
    job: JobResponse | None = Field(description="the last job that it started")


READ_BY_ENDPOINTS: tuple[type[BaseModel], ...] = (JobRequest, WatchRequest)
"""Models that no endpoint names in its signature."""
