"""Scores on their way from the worker to the recorder.

What a camera publishes at once is one entry of its queue: a JSON array of scores, in a field whose
name is their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, NamedTuple, cast

from pydantic import Field, TypeAdapter
from redis import Redis

from service import keys
from service.bus.many_cameras import Call, Entry, call_each, read_queues, read_values
from service.bus.uploads import QueuedFrame
from service.messages import FrameScore

ENTRY_SCORES = 16
"""An entry holds no more: what is read at once is bounded by entries."""

_PUBLISH = """
local function publish(epoch, last_frame, queue, uploads, upload_bytes, backlog, at)
  if redis.call('GET', epoch) ~= ARGV[at] then return false end
  local room, count = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local frames, scores = at + 3, at + 3 + count
  for i = at + 4 + 2 * count, at + 3 + 2 * count + 2 * ARGV[at + 3 + 2 * count], 2 do
    if redis.call('XDEL', uploads, ARGV[i]) == 1 then
      redis.call('DECRBY', upload_bytes, ARGV[i + 1])
    end
  end
  local before = redis.call('GET', last_frame) or '-1'
  local last, newest, fresh = tonumber(before), nil, {}
  for i = 0, count - 1 do
    local frame = tonumber(ARGV[frames + i])
    if frame > last then
      last, newest = frame, ARGV[frames + i]
      fresh[#fresh + 1] = ARGV[scores + i]
    end
  end
  if not newest then return {before, 0} end
  local evicted = math.max(0, #fresh - room)
  local added = #fresh - evicted
  local text = '[' .. table.concat(fresh, ',', evicted + 1) .. ']'
  redis.call('XADD', queue, '*', string.format('%d', added), text)
  redis.call('SET', last_frame, newest)
  local waiting = redis.call('INCRBY', backlog, added)
  local entries = waiting > room and redis.call('XLEN', queue) or 0
  while waiting > room and entries > 1 do
    local oldest = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
    local lost = tonumber(oldest[2][1]) or 0
    redis.call('XDEL', queue, oldest[1])
    waiting = redis.call('DECRBY', backlog, string.format('%d', lost))
    entries, evicted = entries - 1, evicted + lost
  end
  if waiting > room then redis.call('SET', backlog, string.format('%d', added)) end
  return {before, evicted}
end
local at, answers = 1, {}
for i = 1, #KEYS, 6 do
  answers[#answers + 1] =
    publish(KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3], KEYS[i + 4], KEYS[i + 5], at)
  at = at + 3 + 2 * ARGV[at + 2]
  at = at + 1 + 2 * ARGV[at]
end
return answers
"""
"""Takes for each group of scores its epoch, the bound on the backlog, the number of scores, their
frames, the scores, the number of uploads, and of each its entry and size. Answers with nothing for
a stale epoch, else with the newest frame before and how many scores were pushed out."""

_ACKNOWLEDGE = """
local at = 1
for i = 1, #KEYS, 2 do
  local stored, last = 0, at + 2 * ARGV[at]
  for j = at + 1, last, 2 do
    if redis.call('XDEL', KEYS[i], ARGV[j]) == 1 then stored = stored + ARGV[j + 1] end
  end
  if redis.call('XLEN', KEYS[i]) == 0 then
    redis.call('DEL', KEYS[i + 1])
  elseif stored > 0 then
    redis.call('DECRBY', KEYS[i + 1], string.format('%d', stored))
  end
  at = last + 1
end
"""
"""Takes for each queue the number of entries, and of each its id and how many scores it holds."""

_SCORES = TypeAdapter(Annotated[list[FrameScore], Field(min_length=1)])


class PublishVerdict(Enum):
    """The outcome of publishing a score."""

    PUBLISHED = "published"
    STALE_OWNER = "stale_owner"
    """Its epoch isn't the camera's any more: nothing was written."""
    DUPLICATE = "duplicate"
    """The frame, or a later one, had been published before."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The answer to a score."""

    verdict: PublishVerdict
    evicted: int = 0
    """Older scores that the bound on the backlog pushed out unrecorded. Those that several scores
    of a camera pushed out together stand with the newest of them."""


@dataclass(frozen=True, slots=True)
class OutgoingScore:
    """A score to publish, with the queued upload that it settles."""

    stream_id: str
    score: FrameScore
    upload: QueuedFrame | None = None


class IncomingScore(NamedTuple):
    """A score as it waits in the queue."""

    entry: str
    """Shared by the scores that were published together."""
    score: FrameScore


_PUBLISHED = PublishResult(PublishVerdict.PUBLISHED)
_STALE = PublishResult(PublishVerdict.STALE_OWNER)
_DUPLICATE = PublishResult(PublishVerdict.DUPLICATE)


class Scores:
    """The queues of scores. Each entry stays until the recorder has stored it."""

    def __init__(self, redis: Redis, max_backlog: int) -> None:
        self._redis = redis
        self._max_backlog = max_backlog
        self._publish = redis.register_script(_PUBLISH)
        self._acknowledge = redis.register_script(_ACKNOWLEDGE)

    def publish(self, batch: Sequence[OutgoingScore]) -> list[PublishResult]:
        """Publish one batch in one round trip; each score is fenced by its epoch."""
        if not batch:
            return []
        groups = _group_entries(batch)
        calls = [self._build_call([batch[place] for place in places]) for places in groups]
        answers = [_STALE] * len(batch)
        for places, answer in zip(
            groups, call_each(self._redis, self._publish, calls), strict=True
        ):
            if answer is not None:
                last, evicted = cast(tuple[bytes, int], answer)
                _judge(batch, places, int(last), evicted, answers)
        return answers

    def _build_call(self, group: Sequence[OutgoingScore]) -> Call:
        """Build the script's arguments that publish scores of one camera and one epoch."""
        stream_id = group[0].stream_id
        uploads = [out.upload for out in group if out.upload is not None]
        names = [
            keys.epoch(stream_id),
            keys.last_frame(stream_id),
            keys.scores(stream_id),
            keys.uploads(stream_id),
            keys.upload_bytes(stream_id),
            keys.backlog(stream_id),
        ]
        values: list[str | bytes | int] = [group[0].score.epoch, self._max_backlog, len(group)]
        values += [out.score.frame for out in group]
        values += [out.score.model_dump_json(exclude_defaults=True) for out in group]
        values.append(len(uploads))
        for upload in uploads:
            values += (upload.entry, len(upload.image))
        return names, values

    def read(self, stream_ids: Sequence[str], count: int) -> dict[str, list[IncomingScore]]:
        """Read the oldest scores of each stream, which stay there. Empty streams are absent.

        They are whole entries: `count` scores at least, where so many wait, and some more.

        Raises: ValueError: an entry holds no scores; `drop_malformed` helps.
        """
        streams = {keys.scores(stream_id): stream_id for stream_id in stream_ids}
        found: dict[str, list[IncomingScore]] = {}
        for key, entries in read_queues(self._redis, list(streams), count).items():
            found[streams[key]] = _parse_entries(_take_oldest(entries, count))
        return found

    def drop_malformed(self, stream_ids: Sequence[str], count: int) -> dict[str, int]:
        """Delete the oldest entries that `read` can't parse. Returns how many, by stream."""
        dropped: dict[str, int] = {}
        streams = {keys.scores(stream_id): stream_id for stream_id in stream_ids}
        for key, entries in read_queues(self._redis, list(streams), count).items():
            malformed = {
                ident: _count_scores(fields) for ident, fields in entries if not _is_good(fields)
            }
            if malformed:
                stream_id = streams[key]
                self._acknowledge(*_build_acknowledgement(stream_id, malformed))
                dropped[stream_id] = len(malformed)
        return dropped

    def count_waiting(self, stream_ids: Sequence[str]) -> int:
        """Return how many scores of these streams wait for the recorder, in all."""
        names = [keys.backlog(stream_id) for stream_id in stream_ids]
        return sum(int(count) for count in read_values(self._redis, names) if count is not None)

    def acknowledge(self, entries: Mapping[str, Sequence[str]]) -> None:
        """Delete what is stored now, by stream. Called after the commit, never before.

        Args:
            entries: the entry of each score: an entry of three scores stands there three times.
        """
        calls = [
            _build_acknowledgement(stream_id, Counter(each))
            for stream_id, each in entries.items()
            if each
        ]
        call_each(self._redis, self._acknowledge, calls)


def _group_entries(batch: Sequence[OutgoingScore]) -> list[list[int]]:
    """Group the places in the batch of what becomes one entry: one camera and epoch, in order."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[str, int], list[int]] = {}
    for place, out in enumerate(batch):
        key = (out.stream_id, out.score.epoch)
        group = open_groups.get(key)
        if group is None or len(group) >= ENTRY_SCORES:
            group = open_groups[key] = []
            groups.append(group)
        group.append(place)
    return groups


def _judge(
    batch: Sequence[OutgoingScore],
    places: Sequence[int],
    last: int,
    evicted: int,
    answers: list[PublishResult],
) -> None:
    """Fill in the answers to one group, by the same rule as the script."""
    newest = None
    for place in places:
        frame = batch[place].score.frame
        if frame > last:
            last, newest = frame, place
            answers[place] = _PUBLISHED
        else:
            answers[place] = _DUPLICATE
    if newest is not None and evicted:
        answers[newest] = PublishResult(PublishVerdict.PUBLISHED, evicted)


def _take_oldest(entries: Sequence[Entry], count: int) -> Sequence[Entry]:
    """Take so many entries that they hold `count` scores or a few more."""
    scores = 0
    for place, (_, fields) in enumerate(entries):
        scores += _count_scores(fields)
        if scores >= count:
            return entries[: place + 1]
    return entries


def _parse_entries(entries: Sequence[Entry]) -> list[IncomingScore]:
    """Parse the scores of entries as one array. Raises: ValueError: one of them holds none."""
    names = [ident.decode() for ident, fields in entries for _ in range(_count_scores(fields))]
    arrays = b",".join([array[1:-1] for _, fields in entries for array in fields.values()])
    scores = _SCORES.validate_json(b"[%b]" % arrays)
    return [IncomingScore(*pair) for pair in zip(names, scores, strict=True)]


def _parse(fields: Mapping[bytes, bytes]) -> list[FrameScore]:
    """Parse the scores of an entry. Raises: ValueError: it doesn't hold as many as it says."""
    ((_, array),) = fields.items()
    scores = _SCORES.validate_json(array)
    if len(scores) != _count_scores(fields):
        raise ValueError(f"{len(scores)} scores in an entry of {_count_scores(fields)}")
    return scores


def _is_good(fields: Mapping[bytes, bytes]) -> bool:
    try:
        _parse(fields)
    except ValueError:
        return False
    return True


def _count_scores(fields: Mapping[bytes, bytes]) -> int:
    """Return how many scores an entry was counted as; 0 where it doesn't say."""
    name = next(iter(fields), b"")
    return int(name) if name.isdigit() else 0


def _build_acknowledgement(stream_id: str, sizes: Mapping[bytes, int] | Mapping[str, int]) -> Call:
    """Build the script's arguments that delete entries of so many scores."""
    values: list[str | bytes | int] = [len(sizes)]
    for size in sizes.items():
        values += size
    return [keys.scores(stream_id), keys.backlog(stream_id)], values
